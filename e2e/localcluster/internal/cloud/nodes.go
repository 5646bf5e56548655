package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	cloudproviderapi "k8s.io/cloud-provider/api"
)

// initialise does what a cloud controller manager does for a new Node: it sets
// the machine's address and lets Pods come.
func (c *Cloud) initialise(ctx context.Context, name string) error {
	c.mu.Lock()
	m := c.machines[name]
	c.mu.Unlock()
	if m == nil {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"addresses": []v1.NodeAddress{
		{Type: v1.NodeInternalIP, Address: m.block.Kubelet().String()},
		{Type: v1.NodeHostName, Address: name},
	}}})
	if err != nil {
		return fmt.Errorf("encoding the address of Node %s: %w", name, err)
	}
	nodes := c.client.CoreV1().Nodes()
	if _, err := nodes.Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("setting the address of Node %s: %w", name, err)
	}
	return c.editTaints(ctx, name, func(taints []v1.Taint) []v1.Taint {
		return withoutTaint(taints, cloudproviderapi.TaintExternalCloudProvider)
	})
}

// editTaints changes a Node's taints, again when someone else did meanwhile.
func (c *Cloud) editTaints(ctx context.Context, name string, edit func([]v1.Taint) []v1.Taint) error {
	nodes := c.client.CoreV1().Nodes()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		n, err := nodes.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		n.Spec.Taints = edit(n.Spec.Taints)
		_, err = nodes.Update(ctx, n, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("changing the taints of Node %s: %w", name, err)
	}
	return nil
}

func withoutTaint(taints []v1.Taint, key string) []v1.Taint {
	return slices.DeleteFunc(slices.Clone(taints), func(t v1.Taint) bool { return t.Key == key })
}

func hasTaint(n *v1.Node, key string) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t v1.Taint) bool { return t.Key == key })
}

func isReady(n *v1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(cond v1.NodeCondition) bool {
		return cond.Type == v1.NodeReady && cond.Status == v1.ConditionTrue
	})
}

// Schedulable says whether Pods can come to a Node, and so whether it is ready
// in the eyes of someone who waits for it.
func Schedulable(n *v1.Node) bool {
	return isReady(n) && !n.Spec.Unschedulable && len(n.Spec.Taints) == 0
}

const apiTimeout = 10 * time.Second
