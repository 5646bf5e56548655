package cri

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"imagejob.dev/localcluster/internal/limits"
)

// container is one run of one container.
type container struct {
	id      string
	config  *runtimeapi.ContainerConfig
	sandbox *sandbox
	// scratch is the container's working folder, which is removed with it.
	scratch string
	logPath string

	state      runtimeapi.ContainerState
	createdAt  time.Time
	startedAt  time.Time
	finishedAt time.Time
	exitCode   int
	process    *os.Process
	env        []string
	logs       *containerLog
	// cgroup limits its memory; nil if nothing does.
	cgroup    *limits.Cgroup
	oomKilled bool
	// ended is closed when the process has ended and its exit is recorded.
	ended chan struct{}
}

// portsAnnotation is the annotation in which the kubelet gives a runtime a
// container's ports.
const portsAnnotation = "io.kubernetes.container.ports"

// CreateContainer prepares the container's scratch folder.
func (r *Runtime) CreateContainer(_ context.Context, sandboxID string, config *runtimeapi.ContainerConfig, sandboxConfig *runtimeapi.PodSandboxConfig) (string, error) {
	id, err := newID()
	if err != nil {
		return "", err
	}
	c := &container{
		id: id, config: config, createdAt: time.Now(),
		scratch: filepath.Join(r.opts.Root, id),
		logPath: filepath.Join(sandboxConfig.GetLogDirectory(), config.GetLogPath()),
		state:   runtimeapi.ContainerState_CONTAINER_CREATED,
		ended:   make(chan struct{}),
	}
	if err := os.MkdirAll(c.scratch, 0o755); err != nil {
		return "", fmt.Errorf("creating the container's scratch folder: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.sandboxes[sandboxID]
	if !ok {
		return "", notFound("Pod sandbox", sandboxID)
	}
	c.sandbox = s
	for _, port := range declaredPorts(config) {
		s.ports[port] = true
	}
	r.containers[id] = c
	return id, nil
}

func declaredPorts(config *runtimeapi.ContainerConfig) []int {
	var ports []struct {
		ContainerPort int `json:"containerPort"`
	}
	// It is absent without ports; the kubelet writes nothing else into it.
	if err := json.Unmarshal([]byte(config.GetAnnotations()[portsAnnotation]), &ports); err != nil {
		return nil
	}
	var numbers []int
	for _, port := range ports {
		numbers = append(numbers, port.ContainerPort)
	}
	return numbers
}

// StartContainer starts the process.
func (r *Runtime) StartContainer(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.containers[id]
	if !ok {
		return notFound("container", id)
	}
	cgroup, err := r.opts.Memory.Limit(c.id, c.config.GetLinux().GetResources().GetMemoryLimitInBytes())
	if err != nil {
		return fmt.Errorf("container %s: %w", c.config.GetMetadata().GetName(), err)
	}
	c.cgroup = cgroup
	cmd, err := r.command(c)
	if err != nil {
		return fmt.Errorf("container %s: %w", c.config.GetMetadata().GetName(), err)
	}
	logs, err := openLog(c.logPath)
	if err != nil {
		return err
	}
	stdout, stderr, err := logs.pipes()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err = r.opts.Spawner.Start(cmd)
	stdout.Close()
	stderr.Close()
	if err != nil {
		logs.finish()
		return fmt.Errorf("container %s: starting %v: %w", c.config.GetMetadata().GetName(), cmd.Args, err)
	}
	c.process, c.env, c.logs = cmd.Process, cmd.Env, logs
	c.state = runtimeapi.ContainerState_CONTAINER_RUNNING
	c.startedAt = time.Now()
	go func() {
		// The exit status is read from ProcessState.
		_ = cmd.Wait()
		// The processes that it forked end with it, as in a container when
		// process 1 ends.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		logs.finish()
		oomKilled := cgroup.OOMKilled()
		cgroup.Remove()
		r.mu.Lock()
		defer r.mu.Unlock()
		c.state = runtimeapi.ContainerState_CONTAINER_EXITED
		c.finishedAt = time.Now()
		c.exitCode, c.oomKilled = exitCode(cmd.ProcessState), oomKilled
		close(c.ended)
	}()
	return nil
}

// exitCode follows the shells: 128 + the signal's number for a killed process.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// stopSignal maps a Pod's lifecycle.stopSignal; SIGTERM is the default.
func stopSignal(signal runtimeapi.Signal) unix.Signal {
	if number := unix.SignalNum(signal.String()); number != 0 {
		return number
	}
	return unix.SIGTERM
}

// StopContainer asks the process to end, and kills it after timeout seconds.
// Like a runtime with namespaces it signals the first process alone.
func (r *Runtime) StopContainer(ctx context.Context, id string, timeout int64) error {
	r.mu.Lock()
	c, ok := r.containers[id]
	running := ok && c.state == runtimeapi.ContainerState_CONTAINER_RUNNING
	if ok && c.state == runtimeapi.ContainerState_CONTAINER_CREATED {
		c.state = runtimeapi.ContainerState_CONTAINER_EXITED
		c.finishedAt = time.Now()
		close(c.ended)
	}
	r.mu.Unlock()
	if !running {
		return nil
	}
	if timeout > 0 {
		_ = c.process.Signal(stopSignal(c.config.GetStopSignal()))
		select {
		case <-c.ended:
			return nil
		case <-time.After(time.Duration(timeout) * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	_ = syscall.Kill(-c.process.Pid, syscall.SIGKILL)
	<-c.ended
	return nil
}

// RemoveContainer forgets an ended container.
func (r *Runtime) RemoveContainer(ctx context.Context, id string) error {
	if err := r.StopContainer(ctx, id, 0); err != nil {
		return err
	}
	r.mu.Lock()
	c, ok := r.containers[id]
	delete(r.containers, id)
	r.mu.Unlock()
	if !ok {
		return nil
	}
	return removeAll(c.scratch)
}

// ListContainers lists the containers that match.
func (r *Runtime) ListContainers(_ context.Context, filter *runtimeapi.ContainerFilter) ([]*runtimeapi.Container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*runtimeapi.Container
	for _, c := range r.containers {
		if (filter.GetId() != "" && filter.GetId() != c.id) ||
			(filter.GetPodSandboxId() != "" && filter.GetPodSandboxId() != c.sandbox.id) ||
			(filter.GetState() != nil && filter.GetState().GetState() != c.state) ||
			!matchesLabels(filter.GetLabelSelector(), c.config.GetLabels()) {
			continue
		}
		found = append(found, &runtimeapi.Container{
			Id:           c.id,
			PodSandboxId: c.sandbox.id,
			Metadata:     c.config.GetMetadata(),
			Image:        c.config.GetImage(),
			ImageRef:     c.config.GetImage().GetImage(),
			ImageId:      c.config.GetImage().GetImage(),
			State:        c.state,
			CreatedAt:    c.createdAt.UnixNano(),
			Labels:       c.config.GetLabels(),
			Annotations:  c.config.GetAnnotations(),
		})
	}
	return found, nil
}

// ContainerStatus describes one container.
func (r *Runtime) ContainerStatus(_ context.Context, id string, _ bool) (*runtimeapi.ContainerStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.containers[id]
	if !ok {
		return nil, notFound("container", id)
	}
	status := &runtimeapi.ContainerStatus{
		Id:          c.id,
		Metadata:    c.config.GetMetadata(),
		State:       c.state,
		CreatedAt:   c.createdAt.UnixNano(),
		Image:       &runtimeapi.ImageSpec{Image: c.config.GetImage().GetUserSpecifiedImage()},
		ImageRef:    c.config.GetImage().GetImage(),
		ImageId:     c.config.GetImage().GetImage(),
		Labels:      c.config.GetLabels(),
		Annotations: c.config.GetAnnotations(),
		Mounts:      c.config.GetMounts(),
		LogPath:     c.logPath,
	}
	if !c.startedAt.IsZero() {
		status.StartedAt = c.startedAt.UnixNano()
	}
	if c.state == runtimeapi.ContainerState_CONTAINER_EXITED {
		status.FinishedAt = c.finishedAt.UnixNano()
		status.ExitCode = int32(c.exitCode)
		switch {
		case c.oomKilled:
			status.Reason = "OOMKilled"
		case c.exitCode != 0:
			status.Reason = "Error"
		default:
			status.Reason = "Completed"
		}
	}
	return &runtimeapi.ContainerStatusResponse{Status: status}, nil
}

// UpdateContainerResources does nothing: limits are set at the start only.
func (r *Runtime) UpdateContainerResources(context.Context, string, *runtimeapi.ContainerResources) error {
	return nil
}
