package cloud

import (
	"time"

	v1 "k8s.io/api/core/v1"

	"imagejob.dev/localcluster/internal/metadata"
	"imagejob.dev/localcluster/internal/process"
)

// Spec is the machine that someone asks for.
type Spec struct {
	Name         string
	Group        string
	Zone         string
	CapacityType string
	InstanceType string
	Labels       map[string]string
	Taints       []v1.Taint
	GPUs         int
	// Disk is what its Pods may write, in bytes; 0 for as much as there is.
	Disk int64
}

// State is what has become of a machine.
type State string

// The states of a machine.
const (
	// Starting: ordered, its boot delay runs.
	Starting State = "Starting"
	Running  State = "Running"
	// Silent: its kubelet is cut off; its Pods' processes go on.
	Silent State = "Silent"
	// Interrupted: it has been told when it will be taken away.
	Interrupted State = "Interrupted"
	// Gone: its processes are dead, its Node object may still be there.
	Gone State = "Gone"
)

// Machine is one machine and what is known of it.
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
	// ending is set before we end it, so that its death is no surprise.
	ending bool
	// removed is set when it was taken away on purpose, Node object and all.
	removed bool

	block *addressBlock
	child *process.Child
	imds  *metadata.Service
}

// living says whether the machine is there or about to be.
func (m *Machine) living() bool { return m.State != Gone }

// staying says whether the machine is there and nothing is known to end it.
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
