package cloud

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	resourcehelper "k8s.io/component-helpers/resource"
)

// Reasons of the events on Pods, as cluster-autoscaler has them.
const (
	triggeredScaleUp    = "TriggeredScaleUp"
	notTriggeredScaleUp = "NotTriggerScaleUp"
)

// bootTimeout is how long a machine's Node may take to become ready before
// another machine is started for the Pods that wait for it.
const bootTimeout = 60 * time.Second

// provision starts machines for Pods that no Node can take.
func (c *Cloud) provision(_ context.Context, w world, now time.Time) error {
	pods, err := w.pods.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("listing Pods: %w", err)
	}
	waiting := slices.DeleteFunc(slices.Clone(pods), func(p *v1.Pod) bool { return !unschedulable(p) })
	if len(waiting) == 0 {
		return nil
	}
	slices.SortFunc(waiting, func(a, b *v1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	rooms, err := c.rooms(w, pods, now)
	if err != nil {
		return err
	}
	told := c.refusals
	c.refusals = map[types.UID]string{}
	for _, d := range plan(waiting, rooms, c.supplies(now)) {
		c.refusals[d.pod.UID] = d.refusal
		switch {
		case d.group != nil:
			name, err := c.order(d.group)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.Log, "cloud: starting %s for Pod %s/%s\n", name, d.pod.Namespace, d.pod.Name)
			c.recorder.Eventf(d.pod, v1.EventTypeNormal, triggeredScaleUp,
				"pod triggered scale-up: [{%s %d->%d (max: %d)}]", d.group.Name, d.before, d.before+1, d.group.Max)
		case d.refusal != "" && d.refusal != told[d.pod.UID]:
			c.recorder.Eventf(d.pod, v1.EventTypeNormal, notTriggeredScaleUp, "pod didn't trigger scale-up: %s", d.refusal)
		}
	}
	return nil
}

// unschedulable says whether the scheduler has given up on a Pod for now.
func unschedulable(p *v1.Pod) bool {
	return p.Spec.NodeName == "" && p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(cond v1.PodCondition) bool {
		return cond.Type == v1.PodScheduled && cond.Status == v1.ConditionFalse && cond.Reason == v1.PodReasonUnschedulable
	})
}

// supplies is the number of machines that each group may still start.
func (c *Cloud) supplies(now time.Time) []supply {
	living := map[string]int{}
	for _, m := range c.Machines() {
		if m.living() {
			living[m.Group]++
		}
	}
	began := c.tracesBegan()
	var list []supply
	for i := range c.Config.Groups {
		g := &c.Config.Groups[i]
		list = append(list, supply{group: g, living: living[g.Name], capacity: g.capacity(began, now)})
	}
	return list
}

// rooms is the free resources of the machines that exist or start.
func (c *Cloud) rooms(w world, pods []*v1.Pod, now time.Time) ([]room, error) {
	used := map[string][]*v1.Pod{}
	for _, p := range pods {
		if p.Spec.NodeName != "" && !finished(p) {
			used[p.Spec.NodeName] = append(used[p.Spec.NodeName], p)
		}
	}
	var list []room
	for _, m := range c.Machines() {
		n, err := c.nodeToFill(w, m, now)
		if err != nil {
			return nil, err
		}
		if n == nil {
			continue
		}
		free := n.Status.Allocatable.DeepCopy()
		for _, p := range used[m.Name] {
			take(free, resourcehelper.PodRequests(p, resourcehelper.PodResourcesOptions{}))
		}
		list = append(list, room{node: n, free: free})
	}
	return list, nil
}

// nodeToFill is the machine's Node, or the one that it will have; nil if no new
// Pod may be placed on the machine.
func (c *Cloud) nodeToFill(w world, m Machine, now time.Time) (*v1.Node, error) {
	if m.State != Starting && m.State != Running {
		return nil, nil
	}
	n, err := w.nodes.Get(m.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("looking at Node %s: %w", m.Name, err)
	}
	if err == nil && isReady(n) && !needsInitialising(n) && !hasTaint(n, v1.TaintNodeNotReady) {
		if n.Spec.Unschedulable {
			return nil, nil
		}
		return n, nil
	}
	if m.State == Running && now.Sub(m.Booted) > bootTimeout {
		return nil, nil
	}
	if g := c.group(m.Group); g != nil {
		return g.template(m.Name), nil
	}
	return nil, nil
}

func (c *Cloud) group(name string) *Group {
	i := slices.IndexFunc(c.Config.Groups, func(g Group) bool { return g.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Config.Groups[i]
}

func finished(p *v1.Pod) bool {
	return p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed
}

// removeEmpty removes machines that have had no Pod for their group's time, as
// Karpenter does: it taints the Node, deletes it and ends the machine.
func (c *Cloud) removeEmpty(ctx context.Context, w world, now time.Time) error {
	pods, err := w.pods.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("listing Pods: %w", err)
	}
	busy := map[string]bool{}
	for _, p := range pods {
		if p.Spec.NodeName != "" && !finished(p) {
			busy[p.Spec.NodeName] = true
		}
	}
	var failures []error
	for _, name := range c.emptyFor(busy, w, now) {
		if err := c.remove(ctx, name); err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// emptyFor records since when each machine is empty, and returns those that
// have been empty for long enough.
func (c *Cloud) emptyFor(busy map[string]bool, w world, now time.Time) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var due []string
	for _, m := range c.machines {
		g := c.group(m.Group)
		if g == nil || g.RemoveAfterEmpty == nil || m.State != Running {
			continue
		}
		n, err := w.nodes.Get(m.Name)
		if err != nil || !isReady(n) || busy[m.Name] {
			m.emptySince = time.Time{}
			continue
		}
		if m.emptySince.IsZero() {
			m.emptySince = now
		}
		if now.Sub(m.emptySince) >= g.RemoveAfterEmpty.Duration {
			due = append(due, m.Name)
		}
	}
	slices.SortFunc(due, strings.Compare)
	return due
}
