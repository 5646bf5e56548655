package cloud

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

// room is a Node, existing or starting, and its free resources.
type room struct {
	node *v1.Node
	free v1.ResourceList
}

// supply is a group and the number of machines that it may still start.
type supply struct {
	group *Group
	// living is the number of machines that exist or start.
	living int
	// capacity is the number of machines that the group may have now.
	capacity int
}

// decision is the plan for one unschedulable Pod.
type decision struct {
	pod *v1.Pod
	// group is the group of which a machine is started; nil if no group can
	// help, or if the Pod fits on a machine that exists or starts.
	group *Group
	// before is the group's size without the new machine.
	before int
	// refusal says for each group why it can't help.
	refusal string
}

// plan decides which machines to start for Pods that fit on no Node. It fills
// existing and starting Nodes first, and prefers groups in the file's order.
func plan(pods []*v1.Pod, rooms []room, supplies []supply) []decision {
	var decisions []decision
	for _, pod := range pods {
		requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
		if place(pod, requests, rooms) {
			decisions = append(decisions, decision{pod: pod})
			continue
		}
		d := decision{pod: pod}
		var refusals []string
		for i := range supplies {
			s := &supplies[i]
			if why := refuses(s, pod, requests); why != "" {
				refusals = append(refusals, s.group.Name+": "+why)
				continue
			}
			d.group, d.before = s.group, s.living
			s.living++
			template := s.group.template("")
			fresh := room{node: template, free: template.Status.Allocatable.DeepCopy()}
			take(fresh.free, requests)
			rooms = append(rooms, fresh)
			break
		}
		if d.group == nil {
			d.refusal = strings.Join(refusals, "; ")
			if d.refusal == "" {
				d.refusal = "there are no node groups"
			}
		}
		decisions = append(decisions, d)
	}
	return decisions
}

// place takes the Pod's share of the first room that it fits into.
func place(pod *v1.Pod, requests v1.ResourceList, rooms []room) bool {
	for _, r := range rooms {
		if mismatch(pod, r.node) == "" && lacking(requests, r.free) == "" {
			take(r.free, requests)
			return true
		}
	}
	return false
}

// refuses says why a group can't help a Pod; empty if it can.
func refuses(s *supply, pod *v1.Pod, requests v1.ResourceList) string {
	template := s.group.template("")
	if why := mismatch(pod, template); why != "" {
		return why
	}
	if missing := lacking(requests, template.Status.Allocatable); missing != "" {
		return "its machines have too little " + missing
	}
	switch {
	case s.living >= s.group.Max:
		return fmt.Sprintf("max node group size reached (%d)", s.group.Max)
	case s.living >= s.capacity:
		return fmt.Sprintf("insufficient %s capacity (%d)", s.group.CapacityType, s.capacity)
	}
	return ""
}

// mismatch says why a Pod may not run on a Node: its selector, its required
// affinity, or taints. Rules between Pods are ignored.
func mismatch(pod *v1.Pod, n *v1.Node) string {
	ok, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(n)
	if err != nil {
		return err.Error()
	}
	if !ok {
		return "node selector doesn't match"
	}
	taint, untolerated := corev1.FindMatchingUntoleratedTaint(klog.Background(), n.Spec.Taints, pod.Spec.Tolerations, keepsPodsAway, true)
	if untolerated {
		return fmt.Sprintf("taint %s is not tolerated", taint.Key)
	}
	return ""
}

func keepsPodsAway(t *v1.Taint) bool {
	return t.Effect == v1.TaintEffectNoSchedule || t.Effect == v1.TaintEffectNoExecute
}

// lacking names a resource of which not enough is free.
func lacking(requests, free v1.ResourceList) string {
	for name, want := range requests {
		if have := free[name]; have.Cmp(want) < 0 {
			return string(name)
		}
	}
	return ""
}

func take(free, requests v1.ResourceList) {
	for name, amount := range requests {
		left := free[name].DeepCopy()
		left.Sub(amount)
		free[name] = left
	}
}
