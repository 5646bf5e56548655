package cloud

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"imagejob.dev/localcluster/internal/metadata"
)

// Capacity types, as Karpenter labels them.
const (
	spot     = "spot"
	onDemand = "on-demand"
)

const (
	// defaultDeleteGoneAfter is long on purpose: the programs on the cluster
	// must not rely on the deletion of the Node object to save their work.
	defaultDeleteGoneAfter = 60 * time.Second
	// defaultNotice is the notice of AWS before it takes a spot machine.
	defaultNotice = 120 * time.Second
	// defaultRestartBackoff is short, so that tests do not wait for the
	// kubelet's usual 10 s to 5 min.
	defaultRestartBackoff = time.Second
	maxRestartBackoff     = 5 * time.Minute
)

// Config is the provisioner file.
type Config struct {
	// Metadata is the provider whose metadata service the machines have.
	Metadata metadata.Provider `json:"metadata,omitempty"`
	// Notice is the time between the notice and the end when a trace takes a
	// machine away, before it is divided by the trace's speed.
	Notice *metav1.Duration `json:"notice,omitempty"`
	// DeleteGoneAfter is how long the Node object of a dead machine stays.
	DeleteGoneAfter *metav1.Duration `json:"deleteGoneAfter,omitempty"`
	// RestartBackoff is the longest wait before a container that crashed again
	// is started again, at most the kubelet's own five minutes.
	RestartBackoff *metav1.Duration `json:"restartBackoff,omitempty"`
	Groups         []Group          `json:"groups,omitempty"`
}

// Group is machines of one shape in one place.
type Group struct {
	Name string `json:"name"`
	// CapacityType is spot or on-demand.
	CapacityType string            `json:"capacityType"`
	Zone         string            `json:"zone,omitempty"`
	InstanceType string            `json:"instanceType,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	Taints       []v1.Taint        `json:"taints,omitempty"`
	GPUs         int               `json:"gpus,omitempty"`
	// Disk is the limit for what all Pods of a machine write; without it there
	// is no limit.
	Disk *resource.Quantity `json:"disk,omitempty"`
	// Max is the largest number of machines.
	Max int `json:"max"`
	// StartDelay is how long a machine takes to boot.
	StartDelay metav1.Duration `json:"startDelay,omitempty"`
	// RemoveAfterEmpty is how long a machine without Pods stays; without it,
	// for ever.
	RemoveAfterEmpty *metav1.Duration `json:"removeAfterEmpty,omitempty"`
	// Trace limits the machines to a recorded capacity.
	Trace *TraceSource `json:"trace,omitempty"`

	trace *Trace
}

// TraceSource is a trace file and how fast to replay it.
type TraceSource struct {
	// File is relative to the provisioner file.
	File string `json:"file"`
	// Speed is recorded time over real time; 1 by default.
	Speed float64 `json:"speed,omitempty"`
}

// ReadConfig reads the provisioner file; an empty path is a cloud without groups.
func ReadConfig(path string) (Config, error) {
	var c Config
	if path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return c, fmt.Errorf("reading the provisioner file: %w", err)
		}
		if err := yaml.UnmarshalStrict(data, &c); err != nil {
			return c, fmt.Errorf("the provisioner file %s: %w", path, err)
		}
	}
	if err := c.complete(filepath.Dir(path)); err != nil {
		return c, fmt.Errorf("the provisioner file %s: %w", path, err)
	}
	return c, nil
}

// complete checks what was read, fills in defaults and reads the traces.
func (c *Config) complete(dir string) error {
	if c.DeleteGoneAfter == nil {
		c.DeleteGoneAfter = &metav1.Duration{Duration: defaultDeleteGoneAfter}
	}
	if c.Notice == nil {
		c.Notice = &metav1.Duration{Duration: defaultNotice}
	}
	if c.RestartBackoff == nil {
		c.RestartBackoff = &metav1.Duration{Duration: defaultRestartBackoff}
	}
	if d := c.RestartBackoff.Duration; d < time.Second || d > maxRestartBackoff {
		return fmt.Errorf("restartBackoff %v: want 1s to %v", d, maxRestartBackoff)
	}
	if c.Metadata == "" {
		c.Metadata = metadata.AWS
	}
	if !c.Metadata.Known() {
		return fmt.Errorf("metadata %q: want one of %v", c.Metadata, metadata.Providers)
	}
	names := map[string]bool{systemGroup: true}
	for i := range c.Groups {
		g := &c.Groups[i]
		if names[g.Name] {
			return fmt.Errorf("two groups are called %q", g.Name)
		}
		names[g.Name] = true
		if err := g.complete(dir); err != nil {
			return fmt.Errorf("group %q: %w", g.Name, err)
		}
	}
	return nil
}

// systemGroup is where machines belong that no group of the file describes.
const systemGroup = "system"

func (g *Group) complete(dir string) error {
	if wrong := validation.IsDNS1123Label(g.Name); len(wrong) > 0 {
		return fmt.Errorf("the name: %s", wrong[0])
	}
	if g.CapacityType != spot && g.CapacityType != onDemand {
		return fmt.Errorf("capacityType %q: want %s or %s", g.CapacityType, spot, onDemand)
	}
	if g.Max < 1 || g.GPUs < 0 {
		return fmt.Errorf("max %d and gpus %d: want at least 1 and 0", g.Max, g.GPUs)
	}
	for key, value := range g.Labels {
		if wrong := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(wrong) > 0 {
			return fmt.Errorf("label %s=%s: %s", key, value, wrong[0])
		}
	}
	if g.Trace == nil {
		return nil
	}
	if g.Trace.Speed == 0 {
		g.Trace.Speed = 1
	}
	if g.Trace.Speed < 0 {
		return fmt.Errorf("trace speed %v: want more than 0", g.Trace.Speed)
	}
	file := g.Trace.File
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	var err error
	g.trace, err = readTrace(file, g.Trace.Speed)
	return err
}
