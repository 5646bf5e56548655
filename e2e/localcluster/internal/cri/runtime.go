// Package cri is a container runtime whose containers are local processes: no
// root, no namespaces, no images. The kubelet uses it through the same
// interface as any other runtime.
package cri

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"imagejob.dev/localcluster/internal/images"
	"imagejob.dev/localcluster/internal/limits"
	"imagejob.dev/localcluster/internal/process"
)

const runtimeName = "localcluster"

// Options is what a node gives its runtime.
type Options struct {
	// Root holds a scratch folder for each container.
	Root string
	// Addresses hands out Pod addresses.
	Addresses *Addresses
	// NodeIP is the address of Pods that use the host's network.
	NodeIP netip.Addr
	// Server is the API server's URL, for Pods with a ServiceAccount token.
	Server string
	// Env is added to every process.
	Env []string
	// Images says what to run.
	Images *images.Table
	// Memory makes the cgroups of containers with a memory limit.
	Memory limits.Memory
	// Spawner ends the processes with the node.
	Spawner *process.Spawner
}

// Runtime implements the CRI RuntimeService.
type Runtime struct {
	unsupported
	opts Options

	mu         sync.Mutex
	sandboxes  map[string]*sandbox
	containers map[string]*container
}

// New returns a runtime without any Pods.
func New(opts Options) *Runtime {
	return &Runtime{opts: opts, sandboxes: map[string]*sandbox{}, containers: map[string]*container{}}
}

// Version names the runtime.
func (r *Runtime) Version(context.Context, string) (*runtimeapi.VersionResponse, error) {
	return &runtimeapi.VersionResponse{
		Version: "0.1.0", RuntimeName: runtimeName, RuntimeVersion: "1.0.0", RuntimeApiVersion: "v1",
	}, nil
}

// Status is always ready: there is no daemon that can fail.
func (r *Runtime) Status(context.Context, bool) (*runtimeapi.StatusResponse, error) {
	return &runtimeapi.StatusResponse{Status: &runtimeapi.RuntimeStatus{
		Conditions: []*runtimeapi.RuntimeCondition{
			{Type: runtimeapi.RuntimeReady, Status: true},
			{Type: runtimeapi.NetworkReady, Status: true},
		},
	}}, nil
}

// UpdateRuntimeConfig has no Pod network to set up.
func (r *Runtime) UpdateRuntimeConfig(context.Context, *runtimeapi.RuntimeConfig) error { return nil }

// RuntimeConfig reports no cgroup driver.
func (r *Runtime) RuntimeConfig(context.Context) (*runtimeapi.RuntimeConfigResponse, error) {
	return &runtimeapi.RuntimeConfigResponse{}, nil
}

// Close has no connection to close.
func (r *Runtime) Close(context.Context) error { return nil }

// Shutdown asks every process to end, like a machine that is switched off, and
// returns when all have ended or the grace period is over.
func (r *Runtime) Shutdown(grace time.Duration) {
	deadline := time.After(grace)
	r.mu.Lock()
	var ends []chan struct{}
	for _, c := range r.containers {
		if c.process != nil && c.state == runtimeapi.ContainerState_CONTAINER_RUNNING {
			_ = c.process.Signal(syscall.SIGTERM)
			ends = append(ends, c.ended)
		}
	}
	r.mu.Unlock()
	for _, end := range ends {
		select {
		case <-end:
		case <-deadline:
			return
		}
	}
}

// newID returns 64 hex digits, the form that container ids have everywhere.
func newID() (string, error) {
	var raw [32]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", fmt.Errorf("drawing an id: %w", err)
	}
	return hex.EncodeToString(raw[:]), nil
}

func matchesLabels(selector, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return true
}

func removeAll(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("removing a container's scratch folder: %w", err)
	}
	return nil
}
