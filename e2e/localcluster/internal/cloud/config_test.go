package cloud

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"imagejob.dev/localcluster/internal/metadata"
)

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "trace.json", `{"metadata":{"gap_seconds":300},"data":[1,9]}`)
	path := write(t, dir, "groups.yaml", `
metadata: gcp
deleteGoneAfter: 5s
groups:
- name: spot
  capacityType: spot
  zone: a
  instanceType: g5.xlarge
  labels: {team: art}
  taints: [{key: nvidia.com/gpu, effect: NoSchedule}]
  gpus: 1
  max: 4
  startDelay: 2s
  removeAfterEmpty: 30s
  trace: {file: trace.json, speed: 100}
`)
	c, err := ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	g := &c.Groups[0]
	if c.Metadata != metadata.GCP || c.DeleteGoneAfter.Duration != 5*time.Second || g.StartDelay.Duration != 2*time.Second {
		t.Errorf("got %+v", c)
	}
	began := time.Unix(0, 0)
	if got := g.capacity(began, began); got != 1 {
		t.Errorf("capacity %d at first, want the trace's 1", got)
	}
	if got := g.capacity(began, began.Add(3*time.Second)); got != 4 {
		t.Errorf("capacity %d later, want the maximum of 4", got)
	}
	if got := g.notice(c.Notice.Duration); got != 1200*time.Millisecond {
		t.Errorf("notice %v, want 120 s / 100", got)
	}
	labels := g.template("spot-1").Labels
	for key, want := range map[string]string{
		"karpenter.sh/capacity-type": "spot", v1.LabelTopologyZone: "a", v1.LabelInstanceTypeStable: "g5.xlarge",
		v1.LabelHostname: "spot-1", "nvidia.com/gpu.present": "true", "team": "art",
	} {
		if labels[key] != want {
			t.Errorf("label %s is %q, want %q", key, labels[key], want)
		}
	}
}

func TestReadConfigWithoutFile(t *testing.T) {
	c, err := ReadConfig("")
	if err != nil || len(c.Groups) != 0 || c.DeleteGoneAfter.Duration != defaultDeleteGoneAfter {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestReadConfigRefuses(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"unknown field", "groups: [{name: a, capacityType: spot, max: 1, size: 3}]", "unknown field"},
		{"capacity type", "groups: [{name: a, capacityType: cheap, max: 1}]", "capacityType"},
		{"no maximum", "groups: [{name: a, capacityType: spot}]", "max 0"},
		{"name", "groups: [{name: A_b, capacityType: spot, max: 1}]", "the name"},
		{"twice", "groups: [{name: a, capacityType: spot, max: 1}, {name: a, capacityType: spot, max: 1}]", "two groups"},
		{"reserved", "groups: [{name: system, capacityType: spot, max: 1}]", "two groups"},
		{"label", "groups: [{name: a, capacityType: spot, max: 1, labels: {'a b': c}}]", "label"},
		{"no trace", "groups: [{name: a, capacityType: spot, max: 1, trace: {file: none.json}}]", "reading the trace"},
		{"metadata", "metadata: ibm", "metadata"},
	} {
		_, err := ReadConfig(write(t, t.TempDir(), "groups.yaml", tc.text))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", tc.name, err, tc.want)
		}
	}
}
