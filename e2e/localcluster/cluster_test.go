package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"imagejob.dev/localcluster/internal/limits"
)

const groups = `
deleteGoneAfter: 1s
groups:
- {name: gpu, capacityType: spot, zone: a, gpus: 1, max: 2}
- {name: small, capacityType: on-demand, zone: a, max: 1, disk: 8Mi}
`

// TestCluster tests a cluster from its start to its end: a Pod with everything
// that our Pods use, machines on demand, a machine's sudden death, an
// interruption, an outage of the API server, and the shutdown.
func TestCluster(t *testing.T) {
	r := startCluster(t, groups)
	config, err := clientcmd.BuildConfigFromFlags("", r.state+"/kubeconfig")
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	c := &testClient{Interface: client, t: t}

	t.Run("version", func(t *testing.T) { c.checkVersion(t) })
	t.Run("pod", func(t *testing.T) { c.runWorker(t) })
	t.Run("unknown image", func(t *testing.T) { c.runUnknownImage(t) })
	t.Run("memory limit", func(t *testing.T) { c.exceedMemory(t) })
	t.Run("full disk", func(t *testing.T) { c.fillDisk(t) })
	t.Run("kill", func(t *testing.T) { c.killNode(t, r) })
	t.Run("interrupt", func(t *testing.T) { c.interruptNode(t, r) })
	t.Run("absent API server", func(t *testing.T) { c.restartAPIServer(t, r) })

	r.command(t, "down")
	if err := <-r.ended; err != nil {
		t.Errorf("the supervisor: %v", err)
	}
	if err := r.gone(); err != nil {
		t.Error(err)
	}
}

// TestKilledSupervisor tests that a killed supervisor leaves no process, not
// even grandchildren.
func TestKilledSupervisor(t *testing.T) {
	r := startCluster(t, "")
	config, err := clientcmd.BuildConfigFromFlags("", r.state+"/kubeconfig")
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	c := &testClient{Interface: client, t: t}
	c.create(t, &v1.Pod{ObjectMeta: named("parent"), Spec: v1.PodSpec{Containers: []v1.Container{{Name: "main", Image: "test/parent"}}}})
	c.await(t, "parent", isPodReady)
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "all ended", func() error { return r.gone() })
}

type testClient struct {
	kubernetes.Interface
	t *testing.T
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, Namespace: "default"} }

func (c *testClient) create(t *testing.T, pod *v1.Pod) {
	t.Helper()
	if _, err := c.CoreV1().Pods("default").Create(context.Background(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// await returns the Pod when done is true for it.
func (c *testClient) await(t *testing.T, name string, done func(*v1.Pod) bool) *v1.Pod {
	t.Helper()
	var pod *v1.Pod
	eventually(t, 30*time.Second, "Pod "+name, func() (err error) {
		pod, err = c.CoreV1().Pods("default").Get(context.Background(), name, metav1.GetOptions{})
		if err == nil && !done(pod) {
			err = fmt.Errorf("its status is %+v", pod.Status)
		}
		return err
	})
	return pod
}

func isPodReady(p *v1.Pod) bool {
	for _, cond := range p.Status.Conditions {
		if cond.Type == v1.PodReady {
			return cond.Status == v1.ConditionTrue
		}
	}
	return false
}

func (c *testClient) checkVersion(t *testing.T) {
	version, err := c.Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	// The linker sets it in build.sh; here it only has to be set.
	if version.GitVersion == "" {
		t.Error("the API server has no version")
	}
}

// runWorker runs a Pod shaped like our workers: a native sidecar with a startup
// probe, a main container that needs it, an exec probe, volumes, RBAC.
func (c *testClient) runWorker(t *testing.T) {
	ctx := context.Background()
	c.grantPods(t, "worker")
	always := v1.ContainerRestartPolicyAlways
	second := &v1.Probe{PeriodSeconds: 1, ProbeHandler: v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Port: intstr.FromInt32(8188)}}}
	ready := &v1.Probe{PeriodSeconds: 1, ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"test", "-e", "/data/ready"}}}}
	data := []v1.VolumeMount{{Name: "data", MountPath: "/data"}}
	yes := true
	c.create(t, &v1.Pod{ObjectMeta: named("worker"), Spec: v1.PodSpec{
		ServiceAccountName: "worker",
		SecurityContext:    &v1.PodSecurityContext{RunAsNonRoot: &yes},
		Volumes:            []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}},
		InitContainers: []v1.Container{{
			Name: "engine", Image: "test/engine", RestartPolicy: &always, Args: []string{"0.0.0.0:8188"},
			Ports: []v1.ContainerPort{{ContainerPort: 8188}}, StartupProbe: second,
		}},
		Containers: []v1.Container{{
			Name: "main", Image: "test/worker:latest", Command: []string{"/app/worker"}, Args: []string{"/data/ready"},
			Env:            []v1.EnvVar{{Name: "ENGINE_URL", Value: "http://127.0.0.1:8188"}},
			ReadinessProbe: ready, VolumeMounts: data,
		}},
	}})
	pod := c.await(t, "worker", isPodReady)
	if started := pod.Status.InitContainerStatuses[0].Started; started == nil || !*started {
		t.Error("the sidecar has not started")
	}
	log, err := c.CoreV1().Pods("default").GetLogs("worker", &v1.PodLogOptions{Container: "main"}).DoRaw(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"engine: 200 OK", "pods:  <nil>", "secrets: Forbidden", "greeting: from the image"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	if err := c.CoreV1().Pods("default").Delete(ctx, "worker", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	// This is far less than the Pod's grace period of 30 s: the process ends on
	// SIGTERM.
	eventually(t, 10*time.Second, "Pod deleted", func() error {
		_, err := c.CoreV1().Pods("default").Get(ctx, "worker", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.New("it is still there")
	})
}

func (c *testClient) grantPods(t *testing.T, account string) {
	t.Helper()
	ctx := context.Background()
	_, err := c.CoreV1().ServiceAccounts("default").Create(ctx, &v1.ServiceAccount{ObjectMeta: named(account)}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.RbacV1().Roles("default").Create(ctx, &rbacv1.Role{ObjectMeta: named(account), Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.RbacV1().RoleBindings("default").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: named(account),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: account},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: "default"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func (c *testClient) runUnknownImage(t *testing.T) {
	c.create(t, &v1.Pod{ObjectMeta: named("unknown"), Spec: v1.PodSpec{Containers: []v1.Container{{Name: "main", Image: "test/unknown"}}}})
	pod := c.await(t, "unknown", func(p *v1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].State.Waiting != nil &&
			strings.Contains(p.Status.ContainerStatuses[0].State.Waiting.Reason, "ImagePull")
	})
	if message := pod.Status.ContainerStatuses[0].State.Waiting.Message; !strings.Contains(message, "not in the image table") {
		t.Errorf("the message is %q", message)
	}
}

// ended waits until a Pod's only container ends; it returns its status and
// termination message.
func (c *testClient) ended(t *testing.T, name string) *v1.ContainerStateTerminated {
	t.Helper()
	pod := c.await(t, name, func(p *v1.Pod) bool {
		return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].State.Terminated != nil
	})
	return pod.Status.ContainerStatuses[0].State.Terminated
}

// exceedMemory tests that a container above its memory limit is killed.
func (c *testClient) exceedMemory(t *testing.T) {
	if memory, err := limits.NewMemory("localcluster-test"); err != nil {
		t.Skipf("not enforced here: %v", err)
	} else {
		memory.Remove()
	}
	c.create(t, &v1.Pod{ObjectMeta: named("hungry"), Spec: v1.PodSpec{
		RestartPolicy: v1.RestartPolicyNever,
		Containers: []v1.Container{{Name: "main", Image: "test/hungry", Args: []string{"256"}, Resources: v1.ResourceRequirements{
			Limits: v1.ResourceList{v1.ResourceMemory: resource.MustParse("128Mi")},
		}}},
	}})
	if end := c.ended(t, "hungry"); end.Reason != "OOMKilled" || end.ExitCode != 137 {
		t.Errorf("it ended with %d, %s", end.ExitCode, end.Reason)
	}
}

// fillDisk tests that a machine's disk has a limit, and that its Pods can
// report it.
func (c *testClient) fillDisk(t *testing.T) {
	if err := limits.CanMount(); err != nil {
		t.Skipf("not bounded here: %v", err)
	}
	c.create(t, &v1.Pod{ObjectMeta: named("writer"), Spec: v1.PodSpec{
		RestartPolicy: v1.RestartPolicyNever,
		NodeSelector:  map[string]string{"karpenter.sh/nodepool": "small"},
		Volumes:       []v1.Volume{{Name: "data", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}},
		Containers: []v1.Container{{
			Name: "main", Image: "test/writer", Args: []string{"/data/file", "16"},
			VolumeMounts: []v1.VolumeMount{{Name: "data", MountPath: "/data"}},
		}},
	}})
	if end := c.ended(t, "writer"); end.ExitCode != 1 || !strings.Contains(end.Message, "no space left on device") {
		t.Errorf("it ended with %d: %q", end.ExitCode, end.Message)
	}
}

// gpuPod makes the provisioner start a machine.
func (c *testClient) gpuPod(t *testing.T, name string) *v1.Pod {
	t.Helper()
	c.create(t, &v1.Pod{ObjectMeta: named(name), Spec: v1.PodSpec{
		NodeSelector: map[string]string{"karpenter.sh/capacity-type": "spot"},
		Containers: []v1.Container{{Name: "main", Image: "test/parent", Resources: v1.ResourceRequirements{
			Limits: v1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")},
		}}},
	}})
	return c.await(t, name, isPodReady)
}

// killNode tests that a killed machine ends all its processes, and that the
// cloud deletes its Node.
func (c *testClient) killNode(t *testing.T, r *run) {
	node := c.gpuPod(t, "vanishing").Spec.NodeName
	if r.gone(node) == nil {
		t.Fatal("the Pod has no process")
	}
	r.command(t, "node", "kill", node)
	eventually(t, 5*time.Second, "processes ended", func() error { return r.gone(node) })
	eventually(t, 20*time.Second, "Node deleted", func() error {
		_, err := c.CoreV1().Nodes().Get(context.Background(), node, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.New("it is still there")
	})
}

func (c *testClient) interruptNode(t *testing.T, r *run) {
	node := c.gpuPod(t, "interrupted").Spec.NodeName
	r.command(t, "node", "interrupt", node, "--notice", "3s")
	eventually(t, 3*time.Second, "the taint", func() error {
		n, err := c.CoreV1().Nodes().Get(context.Background(), node, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, taint := range n.Spec.Taints {
			if taint.Key == "karpenter.sh/disrupted" {
				return nil
			}
		}
		return errors.New("there is none")
	})
	eventually(t, 3*time.Second, "the eviction", func() error {
		p, err := c.CoreV1().Pods("default").Get(context.Background(), "interrupted", metav1.GetOptions{})
		if apierrors.IsNotFound(err) || (err == nil && p.DeletionTimestamp != nil) {
			return nil
		}
		return fmt.Errorf("it is not being deleted (%v)", err)
	})
	eventually(t, 10*time.Second, "the end", func() error { return r.gone(node) })
}

func (c *testClient) restartAPIServer(t *testing.T, r *run) {
	r.command(t, "components", "stop", "kube-apiserver")
	if _, err := c.Discovery().ServerVersion(); err == nil {
		t.Error("the API server still answers")
	}
	r.command(t, "components", "start", "kube-apiserver")
	if _, err := c.Discovery().ServerVersion(); err != nil {
		t.Errorf("the API server does not answer: %v", err)
	}
}
