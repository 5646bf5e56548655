package cloud

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
)

const (
	// spotInterrupted is the reason of Karpenter's event on the Node.
	spotInterrupted = "SpotInterrupted"
	// doNotDisrupt keeps Karpenter from evicting a Pod, even off a machine that
	// is about to be taken away.
	doNotDisrupt = "karpenter.sh/do-not-disrupt"
	// evictionPause is the pause between two tries to evict Pods that were not
	// evicted.
	evictionPause = time.Second
)

// Interrupt gives a machine notice, in the metadata service first and then in
// the cluster as Karpenter does, and takes it away when the notice is over. It
// returns once the notice is given.
func (c *Cloud) Interrupt(ctx context.Context, name string, notice time.Duration) error {
	m, err := c.booted(name)
	if err != nil {
		return err
	}
	c.mu.Lock()
	if m.State == Interrupted {
		c.mu.Unlock()
		return fmt.Errorf("machine %q is interrupted already", name)
	}
	deadline := time.Now().Add(notice)
	m.State, m.Deadline = Interrupted, deadline
	c.mu.Unlock()
	fmt.Fprintf(c.Log, "cloud: interrupting %s in %v\n", name, notice)
	m.imds.Notify(time.Now(), deadline)
	time.AfterFunc(notice, func() {
		_ = c.Kill(name) // An error says that it is gone already.
	})
	go c.drainInterrupted(name, deadline)
	return nil
}

// drainInterrupted does what Karpenter does after a notice. Without an API
// server it can't do much, and the machine stops anyway.
func (c *Cloud) drainInterrupted(name string, deadline time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	n, err := c.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		c.recorder.Event(n, v1.EventTypeWarning, spotInterrupted, "Spot interruption warning was triggered")
		err = c.taint(ctx, name, false)
	}
	if err == nil {
		err = c.evictAll(ctx, name, true)
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(c.Log, "cloud: interrupting %s: %v\n", name, err)
	}
}

// Drain cordons a Node and evicts its Pods, and returns when none is left.
func (c *Cloud) Drain(ctx context.Context, name string) error {
	err := c.edit(ctx, name, func(n *v1.Node) { n.Spec.Unschedulable = true })
	if err != nil {
		return err
	}
	return c.evictAll(ctx, name, false)
}

// evictAll evicts a Node's Pods until there is none left to evict, and waits
// until they are gone. With Karpenter's rules some Pods may stay.
func (c *Cloud) evictAll(ctx context.Context, name string, karpenter bool) error {
	for {
		pods, err := c.podsOn(ctx, name)
		if err != nil {
			return err
		}
		pods = slices.DeleteFunc(pods, func(p v1.Pod) bool { return finished(&p) || (karpenter && toleratesDisruption(&p)) })
		if len(pods) == 0 {
			return nil
		}
		for _, p := range pods {
			if p.DeletionTimestamp != nil || (karpenter && p.Annotations[doNotDisrupt] == "true") {
				continue
			}
			if err := c.evict(ctx, &p); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d Pods are left on Node %s: %w", len(pods), name, ctx.Err())
		case <-time.After(evictionPause):
		}
	}
}

// evict asks for one Pod's eviction. A refusal by its disruption budget is not
// an error: the next round asks again.
func (c *Cloud) evict(ctx context.Context, p *v1.Pod) error {
	err := c.Client.PolicyV1().Evictions(p.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}},
	})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsTooManyRequests(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("evicting Pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	return nil
}

// toleratesDisruption says whether Karpenter does not evict a Pod.
func toleratesDisruption(p *v1.Pod) bool {
	return corev1.TolerationsTolerateTaint(klog.Background(), p.Spec.Tolerations, &disruptedTaint, false)
}

// followTraces interrupts machines of groups that have more than the trace
// allows.
func (c *Cloud) followTraces(ctx context.Context, _ world, now time.Time) error {
	began := c.tracesBegan()
	var failures []error
	for i := range c.Config.Groups {
		g := &c.Config.Groups[i]
		if g.trace == nil {
			continue
		}
		cancel, interrupt := surplus(c.Machines(), g.Name, g.capacity(began, now))
		for _, name := range cancel {
			c.cancel(name)
		}
		for _, name := range interrupt {
			failures = append(failures, c.Interrupt(ctx, name, g.notice(c.Config.Notice.Duration)))
		}
	}
	return errors.Join(failures...)
}

// surplus chooses the machines that a group loses: first those that have not
// booted, then the youngest.
func surplus(machines []Machine, group string, capacity int) (cancel, interrupt []string) {
	mine := slices.DeleteFunc(slices.Clone(machines), func(m Machine) bool { return m.Group != group || !m.staying() })
	slices.SortStableFunc(mine, func(a, b Machine) int {
		if (a.State == Starting) != (b.State == Starting) {
			if a.State == Starting {
				return -1
			}
			return 1
		}
		return b.Booted.Compare(a.Booted)
	})
	for _, m := range mine[:max(0, len(mine)-capacity)] {
		if m.State == Starting {
			cancel = append(cancel, m.Name)
		} else {
			interrupt = append(interrupt, m.Name)
		}
	}
	return cancel, interrupt
}

// cancel removes a machine that has not booted.
func (c *Cloud) cancel(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.machines[name]; m != nil && m.State == Starting {
		m.State = Gone
		delete(c.machines, name)
	}
}
