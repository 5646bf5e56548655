package cloud

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func pod(name string, change ...func(*v1.Pod)) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: v1.PodSpec{Containers: []v1.Container{{Resources: v1.ResourceRequirements{
			Requests: v1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")},
		}}}},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func wants(key, value string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{key: value} }
}

func requests(name v1.ResourceName, amount string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.Containers[0].Resources.Requests[name] = resource.MustParse(amount)
	}
}

func tolerates(key string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.Tolerations = []v1.Toleration{{Key: key, Operator: v1.TolerationOpExists}}
	}
}

func spotGroup(change ...func(*Group)) *Group {
	g := &Group{Name: "spot", CapacityType: spot, Zone: "a", GPUs: 1, Max: 2}
	for _, c := range change {
		c(g)
	}
	return g
}

func TestPlan(t *testing.T) {
	onDemandGroup := &Group{Name: "od", CapacityType: onDemand, Zone: "b", GPUs: 1, Max: 1}
	tainted := spotGroup(func(g *Group) { g.Taints = []v1.Taint{{Key: "gpu", Effect: v1.TaintEffectNoSchedule}} })
	for _, tc := range []struct {
		name     string
		pods     []*v1.Pod
		rooms    int // empty machines of the spot group, there or to come
		supplies []supply
		want     []string // a group to start, "" for a Pod that fits, "!..." for part of a refusal
	}{
		{
			name: "one machine for each GPU, in the file's order", pods: []*v1.Pod{pod("a"), pod("b"), pod("c"), pod("d")},
			supplies: []supply{{group: spotGroup(), capacity: 2}, {group: onDemandGroup, capacity: 1}},
			want:     []string{"spot", "spot", "od", "!max node group size reached (1)"},
		},
		{
			name: "a machine on its way is filled first", pods: []*v1.Pod{pod("a"), pod("b")}, rooms: 1,
			supplies: []supply{{group: spotGroup(), living: 1, capacity: 2}},
			want:     []string{"", "spot"},
		},
		{
			name: "no spot capacity", pods: []*v1.Pod{pod("a", wants(capacityTypeLabel, spot))},
			supplies: []supply{{group: spotGroup(), capacity: 0}, {group: onDemandGroup, capacity: 1}},
			want:     []string{"!spot: insufficient spot capacity (0); od: node selector doesn't match"},
		},
		{
			name: "on-demand asked for", pods: []*v1.Pod{pod("a", wants(capacityTypeLabel, onDemand))},
			supplies: []supply{{group: spotGroup(), capacity: 2}, {group: onDemandGroup, capacity: 1}},
			want:     []string{"od"},
		},
		{
			name: "zone asked for", pods: []*v1.Pod{pod("a", wants(v1.LabelTopologyZone, "b"))},
			supplies: []supply{{group: spotGroup(), capacity: 2}, {group: onDemandGroup, capacity: 1}},
			want:     []string{"od"},
		},
		{
			name: "taint", pods: []*v1.Pod{pod("a"), pod("b", tolerates("gpu"))},
			supplies: []supply{{group: tainted, capacity: 2}},
			want:     []string{"!taint gpu is not tolerated", "spot"},
		},
		{
			name: "too large", pods: []*v1.Pod{pod("a", requests("nvidia.com/gpu", "8")), pod("b", requests(v1.ResourceMemory, "1Ti"))},
			supplies: []supply{{group: spotGroup(), capacity: 2}},
			want:     []string{"!too little nvidia.com/gpu", "!too little memory"},
		},
		{name: "no groups", pods: []*v1.Pod{pod("a")}, want: []string{"!no node groups"}},
	} {
		var rooms []room
		for range tc.rooms {
			template := spotGroup().template("coming")
			rooms = append(rooms, room{node: template, free: template.Status.Allocatable})
		}
		decisions := plan(tc.pods, rooms, tc.supplies)
		for i, d := range decisions {
			refusal, refused := strings.CutPrefix(tc.want[i], "!")
			switch {
			case refused && !strings.Contains(d.refusal, refusal):
				t.Errorf("%s: Pod %s: refusal %q lacks %q", tc.name, d.pod.Name, d.refusal, refusal)
			case !refused && tc.want[i] == "" && (d.group != nil || d.refusal != ""):
				t.Errorf("%s: Pod %s: got %+v, want it to fit", tc.name, d.pod.Name, d)
			case !refused && tc.want[i] != "" && (d.group == nil || d.group.Name != tc.want[i]):
				t.Errorf("%s: Pod %s: got %+v, want group %s", tc.name, d.pod.Name, d, tc.want[i])
			}
		}
	}
}
