package node

import (
	"context"
	"fmt"
	"net"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientset "k8s.io/client-go/kubernetes"
	v1core "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/kubelet"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	"k8s.io/kubernetes/pkg/kubelet/server"
	kubeletutil "k8s.io/kubernetes/pkg/kubelet/util"
	"k8s.io/kubernetes/pkg/util/oom"
	"k8s.io/kubernetes/pkg/volume"
	"k8s.io/kubernetes/pkg/volume/configmap"
	"k8s.io/kubernetes/pkg/volume/downwardapi"
	"k8s.io/kubernetes/pkg/volume/emptydir"
	"k8s.io/kubernetes/pkg/volume/hostpath"
	"k8s.io/kubernetes/pkg/volume/projected"
	"k8s.io/kubernetes/pkg/volume/secret"
	"k8s.io/kubernetes/pkg/volume/util/hostutil"
	"k8s.io/kubernetes/pkg/volume/util/subpath"
	"k8s.io/mount-utils"

	"k8s.io/klog/v2"

	"imagejob.dev/localcluster/internal/cri"
)

// gpuResource is what NVIDIA's device plugin advertises.
const gpuResource = "nvidia.com/gpu"

type clients struct {
	server    string
	main      *clientset.Clientset
	heartbeat *clientset.Clientset
	events    v1core.EventsGetter
}

func newClients(kubeconfig string) (*clients, error) {
	base, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading --kubeconfig: %w", err)
	}
	build := func(timeoutless *rest.Config) (*clientset.Clientset, error) {
		timeoutless.QPS, timeoutless.Burst = 50, 100 // the kubelet's own defaults
		return clientset.NewForConfig(timeoutless)
	}
	c := &clients{server: base.Host}
	if c.main, err = build(rest.CopyConfig(base)); err != nil {
		return nil, fmt.Errorf("building the API client: %w", err)
	}
	if c.heartbeat, err = build(rest.CopyConfig(base)); err != nil {
		return nil, fmt.Errorf("building the heartbeat client: %w", err)
	}
	c.events = c.main.CoreV1()
	return c, nil
}

// startKubelet starts the kubelet, which then runs until the process ends.
func startKubelet(ctx context.Context, c config, block AddressBlock, clients *clients, runtime *cri.Runtime, images *cri.Images) error {
	kubeletServer, err := kubeletConfig(c, block)
	if err != nil {
		return err
	}
	auth, watchCA, err := kubeletapp.BuildAuth(types.NodeName(c.name), clients.main, kubeletServer.KubeletConfiguration)
	if err != nil {
		return fmt.Errorf("setting up the kubelet's authentication: %w", err)
	}
	watchCA(ctx.Done())
	deps := &kubelet.Dependencies{
		Auth:                      auth,
		KubeClient:                clients.main,
		HeartbeatClient:           clients.heartbeat,
		EventClient:               clients.events,
		RemoteRuntimeService:      runtime,
		RemoteImageService:        images,
		CAdvisorInterface:         newMachine(c.name),
		ContainerManager:          newContainerManager(c.gpus),
		OSInterface:               nodeOS{root: c.root},
		VolumePlugins:             volumePlugins(),
		OOMAdjuster:               oom.NewFakeOOMAdjuster(),
		Mounter:                   mount.NewFakeMounter(nil),
		Subpather:                 &subpath.FakeSubpath{},
		HostUtil:                  hostUtil{hostutil.NewHostUtil()},
		PodStartupLatencyTracker:  kubeletutil.NewPodStartupLatencyTracker(),
		NodeStartupLatencyTracker: kubeletutil.NewNodeStartupLatencyTracker(klog.FromContext(ctx)),
		TLSOptions: &server.TLSOptions{
			CertFile: c.cert, KeyFile: c.key, ClientCAFile: c.ca,
		},
	}
	recordEvents(ctx, deps, clients.events, c.name)
	if err := kubeletapp.RunKubelet(ctx, kubeletServer, deps); err != nil {
		return fmt.Errorf("running the kubelet: %w", err)
	}
	return nil
}

// kubeletConfig is a kubelet's defaults without what does not exist here:
// cgroups of its own, eviction by resource pressure, and a resolver.
func kubeletConfig(c config, block AddressBlock) (*options.KubeletServer, error) {
	flags := options.NewKubeletFlags()
	flags.RootDirectory = c.root
	flags.CertDirectory = filepath.Join(c.root, "pki")
	flags.HostnameOverride = c.name
	flags.MaxPerPodContainerCount = 2
	// The cluster's cloud sets the node's address, because the kubelet refuses
	// a loopback address and would look for a default route to find another
	// one.
	flags.CloudProvider = "external"
	labels, err := parseLabels(c.labels)
	if err != nil {
		return nil, err
	}
	flags.NodeLabels = labels

	k, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, fmt.Errorf("building the kubelet configuration: %w", err)
	}
	if k.RegisterWithTaints, err = parseTaints(c.taints); err != nil {
		return nil, err
	}
	k.MaxPods = maxPods
	k.ProviderID = "localcluster://" + c.name
	k.Address = block.Kubelet().String()
	port, err := freePort(k.Address)
	if err != nil {
		return nil, err
	}
	k.Port = int32(port)
	k.Authentication.Anonymous.Enabled = false
	k.Authentication.X509.ClientCAFile = c.ca
	k.HealthzPort, k.ReadOnlyPort = 0, 0
	k.MakeIPTablesUtilChains = false
	k.PodLogsDir = filepath.Join(c.root, "pod-logs")
	k.ResolverConfig = ""
	// Nothing serves this address; without an address each Pod would cause a
	// warning event.
	k.ClusterDNS = []string{"127.0.0.1"}
	k.CgroupsPerQOS = false
	k.EnforceNodeAllocatable = nil
	k.EvictionHard = nil
	k.LocalStorageCapacityIsolation = false
	k.EnableControllerAttachDetach = false
	k.SerializeImagePulls = false
	k.SyncFrequency.Duration = syncFrequency
	k.CrashLoopBackOff.MaxContainerRestartPeriod = &metav1.Duration{Duration: c.restartBackoff}
	return &options.KubeletServer{KubeletFlags: *flags, KubeletConfiguration: *k}, nil
}

// freePort needs no retry, because only this node uses its address.
func freePort(address string) (int, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return 0, fmt.Errorf("looking for a free port on %s: %w", address, err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func volumePlugins() []volume.VolumePlugin {
	var plugins []volume.VolumePlugin
	plugins = append(plugins, emptydir.ProbeVolumePlugins()...)
	plugins = append(plugins, hostpath.ProbeVolumePlugins(volume.VolumeConfig{})...)
	plugins = append(plugins, secret.ProbeVolumePlugins()...)
	plugins = append(plugins, configmap.ProbeVolumePlugins()...)
	plugins = append(plugins, downwardapi.ProbeVolumePlugins()...)
	plugins = append(plugins, projected.ProbeVolumePlugins()...)
	return plugins
}

func newContainerManager(gpus int) cm.ContainerManager {
	resources := v1.ResourceList{}
	if gpus > 0 {
		resources[gpuResource] = *resource.NewQuantity(int64(gpus), resource.DecimalSI)
	}
	return containerManager{cm.NewStubContainerManagerWithDevicePluginResource(resources)}
}
