package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	cloudproviderapi "k8s.io/cloud-provider/api"
)

// disruptedTaint is Karpenter's mark of a machine that is about to stop.
var disruptedTaint = v1.Taint{Key: "karpenter.sh/disrupted", Effect: v1.TaintEffectNoSchedule}

// initialiseNew brings new Nodes into use.
func (c *Cloud) initialiseNew(ctx context.Context, w world, _ time.Time) error {
	nodes, err := w.nodes.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("listing Nodes: %w", err)
	}
	var failures []error
	for _, n := range nodes {
		if needsInitialising(n) {
			failures = append(failures, c.initialise(ctx, n.Name))
		}
	}
	return errors.Join(failures...)
}

func needsInitialising(n *v1.Node) bool {
	return hasTaint(n, cloudproviderapi.TaintExternalCloudProvider)
}

// initialise does what a cloud controller manager does for a new Node: it sets
// the machine's address and makes the Node schedulable.
func (c *Cloud) initialise(ctx context.Context, name string) error {
	m, err := c.booted(name)
	if err != nil {
		return nil // Not one of ours, or dead already.
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"addresses": []v1.NodeAddress{
		{Type: v1.NodeInternalIP, Address: m.Address()},
		{Type: v1.NodeHostName, Address: name},
	}}})
	if err != nil {
		return fmt.Errorf("encoding the address of Node %s: %w", name, err)
	}
	nodes := c.Client.CoreV1().Nodes()
	if _, err := nodes.Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("setting the address of Node %s: %w", name, err)
	}
	return c.edit(ctx, name, func(n *v1.Node) {
		n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t v1.Taint) bool {
			return t.Key == cloudproviderapi.TaintExternalCloudProvider
		})
	})
}

// edit changes a Node, and tries again if another client changed it meanwhile.
func (c *Cloud) edit(ctx context.Context, name string, change func(*v1.Node)) error {
	nodes := c.Client.CoreV1().Nodes()
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		n, err := nodes.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(n)
		_, err = nodes.Update(ctx, n, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("changing Node %s: %w", name, err)
	}
	return nil
}

// taint marks a Node as about to stop.
func (c *Cloud) taint(ctx context.Context, name string, cordon bool) error {
	return c.edit(ctx, name, func(n *v1.Node) {
		if !hasTaint(n, disruptedTaint.Key) {
			n.Spec.Taints = append(n.Spec.Taints, disruptedTaint)
		}
		n.Spec.Unschedulable = n.Spec.Unschedulable || cordon
	})
}

// deleteGone deletes the Nodes of machines that have been dead for a while, as
// cloud controllers do when the provider reports that an instance does not
// exist.
func (c *Cloud) deleteGone(ctx context.Context, _ world, now time.Time) error {
	var failures []error
	for _, m := range c.Machines() {
		if m.State != Gone || now.Sub(m.GoneAt) < c.Config.DeleteGoneAfter.Duration {
			continue
		}
		if err := c.deleteNode(ctx, m.Name); err != nil {
			failures = append(failures, err)
			continue
		}
		c.mu.Lock()
		delete(c.machines, m.Name)
		c.mu.Unlock()
	}
	return errors.Join(failures...)
}

func (c *Cloud) deleteNode(ctx context.Context, name string) error {
	err := c.Client.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting Node %s: %w", name, err)
	}
	return nil
}

// remove removes an empty machine, unless a Pod was placed on it meanwhile.
func (c *Cloud) remove(ctx context.Context, name string) error {
	if err := c.taint(ctx, name, true); err != nil {
		return err
	}
	pods, err := c.podsOn(ctx, name)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(pods, func(p v1.Pod) bool { return !finished(&p) }) {
		return c.edit(ctx, name, func(n *v1.Node) {
			n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t v1.Taint) bool { return t.Key == disruptedTaint.Key })
			n.Spec.Unschedulable = false
		})
	}
	if err := c.deleteNode(ctx, name); err != nil {
		return err
	}
	fmt.Fprintf(c.Log, "cloud: removing %s, which is empty\n", name)
	m, err := c.booted(name)
	if err != nil {
		return nil // It died by itself.
	}
	c.mu.Lock()
	m.removed = true
	c.mu.Unlock()
	c.end(m)
	return nil
}

func (c *Cloud) podsOn(ctx context.Context, name string) ([]v1.Pod, error) {
	list, err := c.Client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + name})
	if err != nil {
		return nil, fmt.Errorf("listing the Pods on Node %s: %w", name, err)
	}
	return list.Items, nil
}

func hasTaint(n *v1.Node, key string) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t v1.Taint) bool { return t.Key == key })
}

func isReady(n *v1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(cond v1.NodeCondition) bool {
		return cond.Type == v1.NodeReady && cond.Status == v1.ConditionTrue
	})
}

// Schedulable says whether Pods can be placed on a Node, and so whether it is
// ready for whoever waits for it.
func Schedulable(n *v1.Node) bool {
	return isReady(n) && !n.Spec.Unschedulable && len(n.Spec.Taints) == 0
}
