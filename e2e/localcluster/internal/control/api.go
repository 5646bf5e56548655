// Package control lets tests and people stop machines and components: it has an
// HTTP API on a unix socket, and the commands that call it.
package control

import (
	"time"

	"imagejob.dev/localcluster/internal/cloud"
)

// machine is how the API shows one machine.
type machine struct {
	Name         string      `json:"name"`
	Group        string      `json:"group"`
	State        cloud.State `json:"state"`
	Zone         string      `json:"zone,omitempty"`
	CapacityType string      `json:"capacityType,omitempty"`
	InstanceType string      `json:"instanceType,omitempty"`
	GPUs         int         `json:"gpus"`
	Address      string      `json:"address,omitempty"`
	MetadataURL  string      `json:"metadataURL,omitempty"`
	Booted       *time.Time  `json:"booted,omitempty"`
	Deadline     *time.Time  `json:"deadline,omitempty"`
	GoneAt       *time.Time  `json:"goneAt,omitempty"`
}

func describe(m cloud.Machine) machine {
	return machine{
		Name: m.Name, Group: m.Group, State: m.State, Zone: m.Zone,
		CapacityType: m.CapacityType, InstanceType: m.InstanceType, GPUs: m.GPUs,
		Address: m.Address(), MetadataURL: m.MetadataURL(),
		Booted: optional(m.Booted), Deadline: optional(m.Deadline), GoneAt: optional(m.GoneAt),
	}
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// added is the answer to a new machine.
type added struct {
	Name string `json:"name"`
}

// killed is the answer to a killed zone.
type killed struct {
	Names []string `json:"names"`
}

// failure is the answer to a request that failed.
type failure struct {
	Error string `json:"error"`
}
