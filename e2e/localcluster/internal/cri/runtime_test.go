package cri

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"imagejob.dev/localcluster/internal/images"
	"imagejob.dev/localcluster/internal/process"
)

// fixture is a runtime with one Pod in which /bin/sh stands in for the image.
type fixture struct {
	*Runtime
	t       *testing.T
	sandbox string
	config  *runtimeapi.PodSandboxConfig
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	tablePath := filepath.Join(dir, "images.yaml")
	if err := os.WriteFile(tablePath, []byte("shell: {command: [sh], env: {DEFAULT: image, OWN: image, URL: 'http://$(LOCALCLUSTER_POD_IP)'}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := images.NewTable(tablePath)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, Runtime: New(Options{
		Root: filepath.Join(dir, "containers"), Addresses: NewAddresses(9), NodeIP: netip.MustParseAddr("127.9.255.1"),
		Server: "https://127.0.0.1:6443", Images: table, Spawner: process.NewSpawner(),
	})}
	f.config = &runtimeapi.PodSandboxConfig{
		LogDirectory: filepath.Join(dir, "logs"),
		Labels:       map[string]string{namespaceLabel: "studio"},
		PortMappings: []*runtimeapi.PortMapping{{ContainerPort: 9090}},
	}
	if f.sandbox, err = f.RunPodSandbox(context.Background(), f.config, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.RemovePodSandbox(context.Background(), f.sandbox); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) start(script string, change ...func(*runtimeapi.ContainerConfig)) string {
	f.t.Helper()
	config := &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: "main"},
		Image:    &runtimeapi.ImageSpec{UserSpecifiedImage: "shell"},
		Command:  []string{"/dropped"},
		Args:     []string{"-c", script},
		LogPath:  "main.log",
	}
	for _, c := range change {
		c(config)
	}
	id, err := f.CreateContainer(context.Background(), f.sandbox, config, f.config)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.StartContainer(context.Background(), id); err != nil {
		f.t.Fatal(err)
	}
	return id
}

// finish waits for the container's end and returns its status and its log.
func (f *fixture) finish(id string) (*runtimeapi.ContainerStatus, string) {
	f.t.Helper()
	f.mu.Lock()
	ended := f.containers[id].ended
	f.mu.Unlock()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		f.t.Fatal("the container has not ended")
	}
	resp, err := f.ContainerStatus(context.Background(), id, false)
	if err != nil {
		f.t.Fatal(err)
	}
	log, err := os.ReadFile(resp.Status.LogPath)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.Status, string(log)
}

func TestExitAndLog(t *testing.T) {
	f := newFixture(t)
	status, log := f.finish(f.start("echo one; echo two >&2; printf three; exit 3"))
	if status.State != runtimeapi.ContainerState_CONTAINER_EXITED || status.ExitCode != 3 || status.Reason != "Error" {
		t.Errorf("got %v", status)
	}
	for _, want := range []string{`stdout F one`, `stderr F two`, `stdout P three`} {
		if !regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT\S+ ` + want + `$`).MatchString(log) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

func TestStop(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		timeout      int64
		want         int32
	}{
		{"heeds SIGTERM", "trap 'exit 4' TERM; echo ready; while :; do sleep 0.01; done", 10, 4},
		{"ignores SIGTERM", "trap '' TERM; echo ready; while :; do sleep 0.01; done", 1, 137},
		{"no grace", "echo ready; while :; do sleep 0.01; done", 0, 137},
	} {
		f := newFixture(t)
		id := f.start(tc.script)
		f.awaitLog(id, "ready")
		if err := f.StopContainer(context.Background(), id, tc.timeout); err != nil {
			t.Fatal(err)
		}
		if status, _ := f.finish(id); status.ExitCode != tc.want {
			t.Errorf("%s: exit code %d, want %d", tc.name, status.ExitCode, tc.want)
		}
	}
}

func (f *fixture) awaitLog(id, text string) {
	f.t.Helper()
	f.mu.Lock()
	path := f.containers[id].logPath
	f.mu.Unlock()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if log, err := os.ReadFile(path); err == nil && strings.Contains(string(log), text) {
			return
		}
	}
	f.t.Fatalf("the log never had %q", text)
}

func TestEnvironment(t *testing.T) {
	f := newFixture(t)
	account := t.TempDir()
	script := `echo default=$DEFAULT own=$OWN url=$URL listen=$LISTEN other=$OTHER file=$FILE host=$KUBERNETES_SERVICE_HOST; cat $KUBECONFIG`
	_, log := f.finish(f.start(script, func(c *runtimeapi.ContainerConfig) {
		c.Envs = []*runtimeapi.KeyValue{
			{Key: "OWN", Value: []byte("container")},
			{Key: "LISTEN", Value: []byte("0.0.0.0:9090")},
			{Key: "OTHER", Value: []byte("127.0.0.1:6379")},
			{Key: "FILE", Value: []byte(serviceAccountPath + "/token")},
			{Key: "KUBERNETES_SERVICE_HOST", Value: []byte("10.96.0.1")},
		}
		c.Mounts = []*runtimeapi.Mount{{ContainerPath: serviceAccountPath, HostPath: account}}
	}))
	for _, want := range []string{
		"default=image own=container url=http://127.9.0.1 listen=127.9.0.1:9090 other=127.0.0.1:6379 file=" + account + "/token host=127.0.0.1",
		"server: https://127.0.0.1:6443", "tokenFile: " + account + "/token", "certificate-authority: " + account + "/ca.crt", "namespace: studio",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

func TestSidecarPortIsKnownToLaterContainers(t *testing.T) {
	f := newFixture(t)
	f.start("sleep 60", func(c *runtimeapi.ContainerConfig) {
		c.Annotations = map[string]string{portsAnnotation: `[{"containerPort":8188,"protocol":"TCP"}]`}
	})
	_, log := f.finish(f.start("echo $ENGINE", func(c *runtimeapi.ContainerConfig) {
		c.LogPath = "second.log"
		c.Envs = []*runtimeapi.KeyValue{{Key: "ENGINE", Value: []byte("http://127.0.0.1:8188")}}
	}))
	if !strings.Contains(log, "http://127.9.0.1:8188") {
		t.Errorf("got %s", log)
	}
}

func TestExecSync(t *testing.T) {
	f := newFixture(t)
	id := f.start("sleep 60")
	out, _, err := f.ExecSync(context.Background(), id, []string{"/bin/in-image/sh", "-c", "echo $LOCALCLUSTER_POD_IP"}, time.Second)
	if err != nil || strings.TrimSpace(string(out)) != "127.9.0.1" {
		t.Errorf("got %q, %v", out, err)
	}
	if _, _, err := f.ExecSync(context.Background(), id, []string{"false"}, time.Second); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("a failing command: %v", err)
	}
	if _, _, err := f.ExecSync(context.Background(), id, []string{"sleep", "60"}, 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "timed out") {
		t.Errorf("a hanging command: %v", err)
	}
}

func TestImages(t *testing.T) {
	f := newFixture(t)
	s := NewImages(f.opts.Images, "/")
	ctx := context.Background()
	if _, err := s.PullImage(ctx, &runtimeapi.ImageSpec{Image: "other:latest"}, nil, nil); err == nil || !strings.Contains(err.Error(), "add an entry") {
		t.Errorf("an unknown image: %v", err)
	}
	ref, err := s.PullImage(ctx, &runtimeapi.ImageSpec{Image: "shell:latest"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shell", "shell:latest", ref} {
		resp, err := s.ImageStatus(ctx, &runtimeapi.ImageSpec{Image: name}, false)
		if err != nil || resp.Image == nil || resp.Image.Uid.GetValue() == 0 {
			t.Errorf("%s: got %v, %v", name, resp, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	a := NewAddresses(9)
	first, err := a.Take()
	if err != nil || first.String() != "127.9.0.1" {
		t.Fatalf("got %v, %v", first, err)
	}
	a.Return(first)
	for range podAddresses - 1 {
		if addr, err := a.Take(); err != nil || addr == first {
			t.Fatalf("got %v, %v before every other address", addr, err)
		}
	}
	if addr, err := a.Take(); err != nil || addr != first {
		t.Errorf("got %v, %v, want the returned one", addr, err)
	}
	if _, err := a.Take(); err == nil {
		t.Error("an address is handed out twice")
	}
}
