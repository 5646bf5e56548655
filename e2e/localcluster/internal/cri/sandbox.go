package cri

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// sandbox is one Pod: an address and the ports that its containers declare.
type sandbox struct {
	id        string
	config    *runtimeapi.PodSandboxConfig
	handler   string
	createdAt time.Time
	state     runtimeapi.PodSandboxState
	ip        netip.Addr
	// ports are the containerPorts of the regular containers, known from the
	// start, and of the init containers and sidecars created so far.
	ports map[int]bool
}

// RunPodSandbox gives a Pod its address.
func (r *Runtime) RunPodSandbox(_ context.Context, config *runtimeapi.PodSandboxConfig, handler string) (string, error) {
	id, err := newID()
	if err != nil {
		return "", err
	}
	s := &sandbox{
		id: id, config: config, handler: handler, createdAt: time.Now(),
		state: runtimeapi.PodSandboxState_SANDBOX_READY,
		ports: map[int]bool{},
	}
	if s.ip, err = r.takeAddress(config); err != nil {
		return "", err
	}
	for _, mapping := range config.GetPortMappings() {
		s.ports[int(mapping.GetContainerPort())] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sandboxes[id] = s
	return id, nil
}

func usesHostNetwork(config *runtimeapi.PodSandboxConfig) bool {
	network := config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetNetwork()
	return network == runtimeapi.NamespaceMode_NODE
}

func (r *Runtime) takeAddress(config *runtimeapi.PodSandboxConfig) (netip.Addr, error) {
	if usesHostNetwork(config) {
		return r.opts.NodeIP, nil
	}
	return r.opts.Addresses.Take()
}

// StopPodSandbox kills what still runs in the Pod.
func (r *Runtime) StopPodSandbox(ctx context.Context, id string) error {
	r.mu.Lock()
	s, ok := r.sandboxes[id]
	if !ok {
		r.mu.Unlock()
		return nil // Stopping what is gone already is no error in CRI.
	}
	s.state = runtimeapi.PodSandboxState_SANDBOX_NOTREADY
	var running []string
	for _, c := range r.containers {
		if c.sandbox == s {
			running = append(running, c.id)
		}
	}
	r.mu.Unlock()
	for _, id := range running {
		if err := r.StopContainer(ctx, id, 0); err != nil {
			return err
		}
	}
	return nil
}

// RemovePodSandbox forgets the Pod and its containers.
func (r *Runtime) RemovePodSandbox(ctx context.Context, id string) error {
	if err := r.StopPodSandbox(ctx, id); err != nil {
		return err
	}
	r.mu.Lock()
	s, ok := r.sandboxes[id]
	if !ok {
		r.mu.Unlock()
		return nil
	}
	delete(r.sandboxes, id)
	var scratch []string
	for _, c := range r.containers {
		if c.sandbox == s {
			delete(r.containers, c.id)
			scratch = append(scratch, c.scratch)
		}
	}
	r.mu.Unlock()
	if !usesHostNetwork(s.config) {
		r.opts.Addresses.Return(s.ip)
	}
	for _, dir := range scratch {
		if err := removeAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// PodSandboxStatus describes one Pod.
func (r *Runtime) PodSandboxStatus(_ context.Context, id string, _ bool) (*runtimeapi.PodSandboxStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.sandboxes[id]
	if !ok {
		return nil, notFound("Pod sandbox", id)
	}
	return &runtimeapi.PodSandboxStatusResponse{Status: &runtimeapi.PodSandboxStatus{
		Id:        s.id,
		Metadata:  s.config.GetMetadata(),
		State:     s.state,
		CreatedAt: s.createdAt.UnixNano(),
		Network:   &runtimeapi.PodSandboxNetworkStatus{Ip: s.ip.String()},
		// The kubelet compares these with the Pod, and makes a new sandbox when
		// they differ.
		Linux: &runtimeapi.LinuxPodSandboxStatus{Namespaces: &runtimeapi.Namespace{
			Options: s.config.GetLinux().GetSecurityContext().GetNamespaceOptions(),
		}},
		Labels:         s.config.GetLabels(),
		Annotations:    s.config.GetAnnotations(),
		RuntimeHandler: s.handler,
	}}, nil
}

// ListPodSandbox lists the Pods that match.
func (r *Runtime) ListPodSandbox(_ context.Context, filter *runtimeapi.PodSandboxFilter) ([]*runtimeapi.PodSandbox, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*runtimeapi.PodSandbox
	for _, s := range r.sandboxes {
		if (filter.GetId() != "" && filter.GetId() != s.id) ||
			(filter.GetState() != nil && filter.GetState().GetState() != s.state) ||
			!matchesLabels(filter.GetLabelSelector(), s.config.GetLabels()) {
			continue
		}
		found = append(found, &runtimeapi.PodSandbox{
			Id:             s.id,
			Metadata:       s.config.GetMetadata(),
			State:          s.state,
			CreatedAt:      s.createdAt.UnixNano(),
			Labels:         s.config.GetLabels(),
			Annotations:    s.config.GetAnnotations(),
			RuntimeHandler: s.handler,
		})
	}
	return found, nil
}

// UpdatePodSandboxResources has no cgroup to update.
func (r *Runtime) UpdatePodSandboxResources(context.Context, *runtimeapi.UpdatePodSandboxResourcesRequest) (*runtimeapi.UpdatePodSandboxResourcesResponse, error) {
	return &runtimeapi.UpdatePodSandboxResourcesResponse{}, nil
}

func notFound(kind, id string) error { return fmt.Errorf("%s %q not found", kind, id) }
