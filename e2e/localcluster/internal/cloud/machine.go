package cloud

import (
	"time"

	v1 "k8s.io/api/core/v1"

	"imagejob.dev/localcluster/internal/metadata"
	"imagejob.dev/localcluster/internal/process"
)

// Spec is the description of a machine to start.
type Spec struct {
	Name         string
	Group        string
	Zone         string
	CapacityType string
	InstanceType string
	Labels       map[string]string
	Taints       []v1.Taint
	GPUs         int
	// Disk is the limit for what its Pods write, in bytes; 0 for no limit.
	Disk int64
}

// State is the state of a machine.
type State string

// The states of a machine.
const (
	// Starting: it was ordered, and its boot delay runs.
	Starting State = "Starting"
	Running  State = "Running"
	// Silent: its kubelet is stopped; its Pods' processes continue.
	Silent State = "Silent"
	// Interrupted: it was given the time at which it stops.
	Interrupted State = "Interrupted"
	// Gone: its processes are dead; its Node object may still exist.
	Gone State = "Gone"
)

// Machine is one machine with its state.
type Machine struct {
	Spec
	State State
	// Booted is when its process started.
	Booted time.Time
	// GoneAt is when it died.
	GoneAt time.Time
	// Deadline is when an interrupted machine will be taken away.
	Deadline time.Time

	// emptySince is when its last Pod left; zero while it has Pods.
	emptySince time.Time
	// ending is set before we end it, so that its death is expected.
	ending bool
	// removed is set when it was removed on purpose, with its Node object.
	removed bool

	block *addressBlock
	child *process.Child
	imds  *metadata.Service
}

// living says whether the machine exists or starts.
func (m *Machine) living() bool { return m.State != Gone }

// staying says whether the machine exists and is not about to end.
func (m *Machine) staying() bool {
	return m.State == Starting || m.State == Running || m.State == Silent
}

// Address is where the machine's kubelet is reached; empty before it boots.
func (m *Machine) Address() string {
	if m.block == nil {
		return ""
	}
	return m.block.Kubelet().String()
}

// MetadataURL is the machine's metadata service; empty before it boots.
func (m *Machine) MetadataURL() string {
	if m.block == nil {
		return ""
	}
	return m.block.metadataURL()
}
