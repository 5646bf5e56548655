package node

import (
	"context"
	"os"
	"strings"
	"time"

	cadvisorapi "github.com/google/cadvisor/lib/model"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/klog/v2"
	cadvisortest "k8s.io/kubernetes/pkg/kubelet/cadvisor/testing"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	"k8s.io/kubernetes/pkg/volume/util/hostutil"
)

// The resources that a node reports. They are large enough for any Pod of a GPU
// machine, because nothing is really reserved.
const (
	nodeCores   = 16
	nodeMemory  = 64 << 30
	nodeStorage = 200 << 30
	maxPods     = 110
)

// Capacity is the resources of a node, all of them allocatable.
func Capacity(gpus int) v1.ResourceList {
	capacity := v1.ResourceList{
		v1.ResourceCPU:              *resource.NewQuantity(nodeCores, resource.DecimalSI),
		v1.ResourceMemory:           *resource.NewQuantity(nodeMemory, resource.BinarySI),
		v1.ResourceEphemeralStorage: *resource.NewQuantity(nodeStorage, resource.BinarySI),
		v1.ResourcePods:             *resource.NewQuantity(maxPods, resource.DecimalSI),
	}
	if gpus > 0 {
		capacity[gpuResource] = *resource.NewQuantity(int64(gpus), resource.DecimalSI)
	}
	return capacity
}

// syncFrequency is how often the kubelet checks each Pod without a change, and
// how soon volumes follow their ConfigMap or Secret.
const syncFrequency = 10 * time.Second

// machine answers the kubelet's questions about the hardware.
type machine struct {
	*cadvisortest.Fake
}

func newMachine(name string) machine {
	return machine{&cadvisortest.Fake{NodeName: name}}
}

func (m machine) MachineInfo(klog.Logger) (*cadvisorapi.MachineInfo, error) {
	return &cadvisorapi.MachineInfo{
		NumCores:       nodeCores,
		MemoryCapacity: nodeMemory,
		InstanceID:     cadvisorapi.InstanceID(m.NodeName),
	}, nil
}

func (m machine) VersionInfo() (*cadvisorapi.VersionInfo, error) {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		release = []byte("unknown")
	}
	return &cadvisorapi.VersionInfo{
		KernelVersion:      strings.TrimSpace(string(release)),
		ContainerOsVersion: "localcluster",
	}, nil
}

func (m machine) fs() cadvisorapi.FsInfo {
	return cadvisorapi.FsInfo{Capacity: nodeStorage, Available: nodeStorage / 2, Usage: nodeStorage / 2}
}

func (m machine) ImagesFsInfo(context.Context) (cadvisorapi.FsInfo, error)    { return m.fs(), nil }
func (m machine) ContainerFsInfo(context.Context) (cadvisorapi.FsInfo, error) { return m.fs(), nil }
func (m machine) RootFsInfo() (cadvisorapi.FsInfo, error)                     { return m.fs(), nil }
func (m machine) GetDirFsInfo(string) (cadvisorapi.FsInfo, error)             { return m.fs(), nil }

// containerManager is the kubelet's stub without cgroups, with disk space.
type containerManager struct {
	cm.ContainerManager
}

func (containerManager) GetCapacity(klog.Logger, bool) v1.ResourceList {
	return v1.ResourceList{
		v1.ResourceEphemeralStorage: *resource.NewQuantity(nodeStorage, resource.BinarySI),
	}
}

// nodeOS is the real file system, except outside the node's folder: the kubelet
// would otherwise leave links below /var/log.
type nodeOS struct {
	kubecontainer.RealOS
	root string
}

func (o nodeOS) inside(path string) bool {
	return path == o.root || strings.HasPrefix(path, o.root+"/")
}

func (o nodeOS) MkdirAll(path string, perm os.FileMode) error {
	if !o.inside(path) {
		return nil
	}
	return o.RealOS.MkdirAll(path, perm)
}

func (o nodeOS) Symlink(target, link string) error {
	if !o.inside(link) {
		return nil
	}
	return o.RealOS.Symlink(target, link)
}

func (o nodeOS) Glob(pattern string) ([]string, error) {
	if !o.inside(pattern) {
		return nil, nil
	}
	return o.RealOS.Glob(pattern)
}

// hostUtil is the real one, except for the kubelet's bind mount of its own
// folder, which needs root and would outlive the node.
type hostUtil struct {
	hostutil.HostUtils
}

func (hostUtil) MakeRShared(string) error { return nil }
