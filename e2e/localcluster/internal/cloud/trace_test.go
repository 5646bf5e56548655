package cloud

import (
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
)

func TestTrace(t *testing.T) {
	trace, err := parseTrace([]byte(`{"metadata":{"gap_seconds":300},"data":[16,3,0]}`), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		elapsed time.Duration
		want    int
	}{
		{0, 16},
		{2900 * time.Millisecond, 16},
		{3 * time.Second, 3},
		{8 * time.Second, 0},
		{9 * time.Second, 16},
	} {
		if got := trace.At(tc.elapsed); got != tc.want {
			t.Errorf("after %v: %d machines, want %d", tc.elapsed, got, tc.want)
		}
	}
}

func TestTraceRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"no gap", `{"data":[1]}`, "gap_seconds"},
		{"no data", `{"metadata":{"gap_seconds":300}}`, "0 ticks"},
		{"prices", `{"metadata":{"gap_seconds":300},"data":[0.5]}`, "cannot unmarshal"},
	} {
		if _, err := parseTrace([]byte(tc.text), 1); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", tc.name, err, tc.want)
		}
	}
}

func TestSurplus(t *testing.T) {
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	machine := func(name, group string, state State, booted time.Time) Machine {
		return Machine{Spec: Spec{Name: name, Group: group}, State: state, Booted: booted}
	}
	machines := []Machine{
		machine("old", "g", Running, at(1)),
		machine("young", "g", Running, at(9)),
		machine("silent", "g", Silent, at(5)),
		machine("coming", "g", Starting, time.Time{}),
		machine("going", "g", Interrupted, at(3)),
		machine("dead", "g", Gone, at(2)),
		machine("other", "h", Running, at(4)),
	}
	for _, tc := range []struct {
		capacity          int
		cancel, interrupt []string
	}{
		{4, nil, nil},
		{3, []string{"coming"}, nil},
		{1, []string{"coming"}, []string{"young", "silent"}},
		{0, []string{"coming"}, []string{"young", "silent", "old"}},
	} {
		cancel, interrupt := surplus(machines, "g", tc.capacity)
		if !reflect.DeepEqual(cancel, tc.cancel) || !reflect.DeepEqual(interrupt, tc.interrupt) {
			t.Errorf("capacity %d: cancel %v, interrupt %v; want %v, %v", tc.capacity, cancel, interrupt, tc.cancel, tc.interrupt)
		}
	}
}

func TestToleratesDisruption(t *testing.T) {
	for _, tc := range []struct {
		name       string
		toleration []v1.Toleration
		want       bool
	}{
		{"none", nil, false},
		{"blanket", []v1.Toleration{{Operator: v1.TolerationOpExists}}, true},
		{"GPU", []v1.Toleration{{Key: "nvidia.com/gpu", Operator: v1.TolerationOpExists}}, false},
	} {
		if got := toleratesDisruption(&v1.Pod{Spec: v1.PodSpec{Tolerations: tc.toleration}}); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
