package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"imagejob.dev/localcluster/internal/pki"
	"imagejob.dev/localcluster/internal/process"
)

const (
	startTimeout = 60 * time.Second
	pollInterval = 50 * time.Millisecond
	// portAttempts bounds how often another process may take the port after we
	// chose it and before the API server binds it.
	portAttempts = 5
	// stopGrace is each component's time between SIGTERM and SIGKILL.
	stopGrace = 2 * time.Second
)

// ControlPlane is the running components.
type ControlPlane struct {
	Server string

	layout  Layout
	creds   *credentials
	spawner *process.Spawner
	self    string
	port    int
	died    chan error

	mu         sync.Mutex
	components map[string]*component
}

// component is one run of a component.
type component struct {
	child *process.Child
	// stopping is set before we end it, so that its end is not a failure.
	stopping bool
}

// Start brings the control plane up and returns when its API server is ready.
// Self is this binary, which runs as each component by name.
func Start(ctx context.Context, layout Layout, spawner *process.Spawner, self string) (*ControlPlane, error) {
	creds, err := newCredentials(layout)
	if err != nil {
		return nil, err
	}
	cp := &ControlPlane{
		layout: layout, creds: creds, spawner: spawner, self: self,
		died:       make(chan error, 8),
		components: map[string]*component{},
	}
	if err := cp.start(ctx); err != nil {
		cp.Stop()
		return nil, err
	}
	return cp, nil
}

func (cp *ControlPlane) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := cp.run(etcd, etcdArgs(cp.layout)); err != nil {
		return err
	}
	if err := cp.startAPIServer(ctx); err != nil {
		return err
	}
	if err := cp.run(controllers, controllersArgs(cp.layout, cp.creds)); err != nil {
		return err
	}
	return cp.run(scheduler, schedulerArgs(cp.layout))
}

// startAPIServer tries one free port after another.
func (cp *ControlPlane) startAPIServer(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		port, err := freePort()
		if err != nil {
			return err
		}
		cp.port = port
		cp.Server = fmt.Sprintf("https://%s:%d", apiserverHost, port)
		if err := cp.creds.writeKubeconfigs(cp.layout, cp.Server); err != nil {
			return err
		}
		err = cp.RestartAPIServer(ctx)
		if err == nil || attempt == portAttempts || !strings.Contains(err.Error(), "address already in use") {
			return err
		}
		<-cp.died // That death is dealt with here.
	}
}

// RestartAPIServer starts the API server on its old port and waits until it is
// ready.
func (cp *ControlPlane) RestartAPIServer(ctx context.Context) error {
	if cp.alive(APIServer) {
		cp.StopAPIServer()
	}
	if err := cp.run(APIServer, apiserverArgs(cp.layout, cp.creds, cp.port)); err != nil {
		return err
	}
	return cp.waitReady(ctx, cp.child(APIServer))
}

// StopAPIServer stops the API server with SIGTERM.
func (cp *ControlPlane) StopAPIServer() { cp.stop(APIServer) }

// KillAPIServer stops the API server with SIGKILL.
func (cp *ControlPlane) KillAPIServer() {
	if child := cp.expectEnd(APIServer); child != nil {
		child.Kill()
	}
}

// Died reports a component that ended although it was not stopped.
func (cp *ControlPlane) Died() <-chan error { return cp.died }

// NodeCredentials issues a node's client kubeconfig and its kubelet's serving
// certificate.
func (cp *ControlPlane) NodeCredentials(name, address, kubeconfig string) (pki.Pair, error) {
	id := pki.Identity{CommonName: "system:node:" + name, Organizations: []string{"system:nodes"}}
	if err := cp.creds.ca.WriteKubeconfig(kubeconfig, "node-"+name, cp.Server, id); err != nil {
		return pki.Pair{}, err
	}
	return cp.creds.ca.Issue("kubelet-"+name, pki.Identity{
		CommonName: id.CommonName, Organizations: id.Organizations, Hosts: []string{address, name},
	})
}

// CAPath is the cluster's certificate authority.
func (cp *ControlPlane) CAPath() string { return cp.creds.ca.CertPath() }

// Components lists the components and whether each is running.
func (cp *ControlPlane) Components() map[string]bool {
	running := map[string]bool{}
	for _, name := range []string{etcd, APIServer, controllers, scheduler} {
		running[name] = cp.alive(name)
	}
	return running
}

// Stop ends everything: etcd last, since an API server whose etcd is gone does
// not end on SIGTERM.
func (cp *ControlPlane) Stop() {
	var clients sync.WaitGroup
	for _, name := range []string{controllers, scheduler} {
		clients.Go(func() { cp.stop(name) })
	}
	clients.Wait()
	cp.stop(APIServer)
	cp.stop(etcd)
}

func (cp *ControlPlane) run(name string, args []string) error {
	cmd := &exec.Cmd{
		Path: cp.binary(name),
		Args: append([]string{name}, args...),
		Env:  os.Environ(),
	}
	child, err := cp.spawner.StartChild(name, cp.layout.Log(name), cmd)
	if err != nil {
		return err
	}
	c := &component{child: child}
	cp.mu.Lock()
	cp.components[name] = c
	cp.mu.Unlock()
	go func() {
		<-child.Done()
		cp.mu.Lock()
		expected := c.stopping
		cp.mu.Unlock()
		if !expected {
			cp.died <- child.Failure()
		}
	}()
	return nil
}

// binary prefers the user's own etcd and kube-apiserver, as envtest does.
func (cp *ControlPlane) binary(name string) string {
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" && (name == etcd || name == APIServer) {
		path := filepath.Join(assets, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return cp.self
}

func (cp *ControlPlane) expectEnd(name string) *process.Child {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	c := cp.components[name]
	if c == nil {
		return nil
	}
	c.stopping = true
	return c.child
}

func (cp *ControlPlane) stop(name string) {
	if child := cp.expectEnd(name); child != nil {
		child.Stop(stopGrace)
	}
}

func (cp *ControlPlane) child(name string) *process.Child {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if c := cp.components[name]; c != nil {
		return c.child
	}
	return nil
}

func (cp *ControlPlane) alive(name string) bool {
	child := cp.child(name)
	if child == nil {
		return false
	}
	select {
	case <-child.Done():
		return false
	default:
		return true
	}
}

// waitReady polls /readyz, and gives up when the API server has ended.
func (cp *ControlPlane) waitReady(ctx context.Context, server *process.Child) error {
	client, err := cp.readyClient()
	if err != nil {
		return err
	}
	last := errors.New("not asked yet")
	for {
		if last = client(ctx); last == nil {
			return nil
		}
		select {
		case <-server.Done():
			return server.Failure()
		case <-ctx.Done():
			return fmt.Errorf("the API server was not ready in time (%w); see %s", last, cp.layout.Log(APIServer))
		case <-time.After(pollInterval):
		}
	}
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(apiserverHost, "0"))
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
