package cloud

import (
	"maps"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"imagejob.dev/localcluster/internal/node"
)

// Labels that real clouds and Karpenter put on Nodes.
const (
	capacityTypeLabel = "karpenter.sh/capacity-type"
	nodePoolLabel     = "karpenter.sh/nodepool"
	gpuPresentLabel   = "nvidia.com/gpu.present"
)

// nodeLabels are the labels of a machine of this group.
func (g *Group) nodeLabels(name string) map[string]string {
	labels := map[string]string{
		capacityTypeLabel: g.CapacityType,
		nodePoolLabel:     g.Name,
		v1.LabelHostname:  name,
		v1.LabelOSStable:  "linux",
	}
	if g.Zone != "" {
		labels[v1.LabelTopologyZone] = g.Zone
	}
	if g.InstanceType != "" {
		labels[v1.LabelInstanceTypeStable] = g.InstanceType
	}
	if g.GPUs > 0 {
		labels[gpuPresentLabel] = "true"
	}
	maps.Copy(labels, g.Labels)
	return labels
}

// spec is the machine to start.
func (g *Group) spec(name string) Spec {
	return Spec{
		Name: name, Group: g.Name, Zone: g.Zone, CapacityType: g.CapacityType, InstanceType: g.InstanceType,
		Labels: g.nodeLabels(name), Taints: g.Taints, GPUs: g.GPUs, Disk: g.disk(),
	}
}

// disk is the limit for what the machine's Pods write, in bytes; 0 for no
// limit.
func (g *Group) disk() int64 {
	if g.Disk == nil {
		return 0
	}
	return g.Disk.Value()
}

// template is the Node that a machine of this group will have.
func (g *Group) template(name string) *v1.Node {
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: g.nodeLabels(name)},
		Spec:       v1.NodeSpec{Taints: g.Taints},
		Status:     v1.NodeStatus{Allocatable: node.Capacity(g.GPUs)},
	}
}

// capacity is the number of machines that the group may have now, if the traces
// started at began.
func (g *Group) capacity(began, now time.Time) int {
	if g.trace == nil {
		return g.Max
	}
	return min(g.Max, g.trace.At(now.Sub(began)))
}

// notice is the time a machine has left when the trace takes it away.
func (g *Group) notice(configured time.Duration) time.Duration {
	if g.Trace == nil {
		return configured
	}
	return time.Duration(float64(configured) / g.Trace.Speed)
}
