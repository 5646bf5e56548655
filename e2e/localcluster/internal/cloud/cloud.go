// Package cloud stands in for a cloud provider: it owns the machines, starts
// them on demand and takes them away, with or without notice.
package cloud

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"imagejob.dev/localcluster/internal/controlplane"
	"imagejob.dev/localcluster/internal/node"
	"imagejob.dev/localcluster/internal/process"
)

// Spec is the machine that someone asks for.
type Spec struct {
	Name   string
	Group  string
	Zone   string
	Labels map[string]string
	Taints []v1.Taint
	GPUs   int
}

// State is what has become of a machine.
type State string

// The states of a machine.
const (
	Running State = "Running"
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
	State   State
	Started time.Time
	// GoneAt is when it died.
	GoneAt time.Time

	block *addressBlock
	child *process.Child
}

// Cloud is all the machines of one cluster.
type Cloud struct {
	client  kubernetes.Interface
	plane   *controlplane.ControlPlane
	layout  controlplane.Layout
	spawner *process.Spawner
	self    string
	images  string

	mu       sync.Mutex
	machines map[string]*Machine
}

// New returns a cloud without machines. Images is the path of the image table.
func New(client kubernetes.Interface, plane *controlplane.ControlPlane, layout controlplane.Layout, spawner *process.Spawner, self, images string) *Cloud {
	return &Cloud{
		client: client, plane: plane, layout: layout, spawner: spawner, self: self, images: images,
		machines: map[string]*Machine{},
	}
}

// Launch starts a machine; its Node appears when its kubelet has registered.
func (c *Cloud) Launch(spec Spec) (*Machine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.machines[spec.Name]; old != nil {
		return nil, fmt.Errorf("there is a machine %s already", spec.Name)
	}
	block, err := claimAddressBlock()
	if err != nil {
		return nil, err
	}
	m := &Machine{Spec: spec, State: Running, Started: time.Now(), block: block}
	if err := c.boot(m); err != nil {
		block.release()
		return nil, fmt.Errorf("starting machine %s: %w", spec.Name, err)
	}
	c.machines[spec.Name] = m
	go func() {
		<-m.child.Done()
		c.buried(m)
	}()
	return m, nil
}

func (c *Cloud) boot(m *Machine) error {
	root := filepath.Join(c.layout.Nodes(), m.Name)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return fmt.Errorf("creating its folder: %w", err)
	}
	kubeconfig := filepath.Join(root, "kubeconfig")
	serving, err := c.plane.NodeCredentials(m.Name, m.block.Kubelet().String(), kubeconfig)
	if err != nil {
		return err
	}
	args := []string{
		"localnode",
		"--name", m.Name,
		"--index", fmt.Sprint(m.block.index),
		"--gpus", fmt.Sprint(m.GPUs),
		"--labels", formatLabels(m.Labels),
		"--taints", node.FormatTaints(m.Taints),
		"--images", c.images,
		"--root", root,
		"--kubeconfig", kubeconfig,
		"--client-ca", c.plane.CAPath(),
		"--tls-cert", serving.Cert,
		"--tls-key", serving.Key,
	}
	cmd := &exec.Cmd{Path: c.self, Args: args, Env: append(os.Environ(), c.marker())}
	m.child, err = c.spawner.StartChild("localnode "+m.Name, c.layout.Log("node-"+m.Name), cmd)
	return err
}

func (c *Cloud) marker() string { return process.StateMarker + "=" + c.layout.State }

// buried notes a machine's death and ends what its kubelet's death did not:
// processes that its Pods' processes had forked.
func (c *Cloud) buried(m *Machine) {
	process.KillMarked(burialTimeout, c.marker(), process.NodeMarker+"="+m.Name)
	c.mu.Lock()
	defer c.mu.Unlock()
	m.State, m.GoneAt = Gone, time.Now()
	m.block.release()
}

const burialTimeout = 5 * time.Second

// Machines lists the machines by name.
func (c *Cloud) Machines() []Machine {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []Machine
	for _, m := range c.machines {
		list = append(list, *m)
	}
	slices.SortFunc(list, func(a, b Machine) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Kill takes the machine away at once, as a power failure does.
func (c *Cloud) Kill(name string) error {
	m, err := c.living(name)
	if err != nil {
		return err
	}
	m.child.Kill()
	return nil
}

// Silence stops the kubelet, though not its Pods' processes.
func (c *Cloud) Silence(name string) error { return c.signal(name, syscall.SIGSTOP, Silent) }

// Resume ends the silence.
func (c *Cloud) Resume(name string) error { return c.signal(name, syscall.SIGCONT, Running) }

func (c *Cloud) signal(name string, sig syscall.Signal, state State) error {
	m, err := c.living(name)
	if err != nil {
		return err
	}
	if err := m.child.Signal(sig); err != nil {
		return err
	}
	c.setState(m, state)
	return nil
}

func (c *Cloud) setState(m *Machine, state State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.State != Gone {
		m.State = state
	}
}

func (c *Cloud) living(name string) (*Machine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.machines[name]
	if m == nil {
		return nil, fmt.Errorf("there is no machine %q", name)
	}
	if m.State == Gone {
		return nil, fmt.Errorf("machine %q is gone already", name)
	}
	return m, nil
}

// forget drops a dead machine whose Node is gone too.
func (c *Cloud) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.machines, name)
}

// Stop switches every machine off.
func (c *Cloud) Stop(grace time.Duration) {
	var ends sync.WaitGroup
	c.mu.Lock()
	for _, m := range c.machines {
		if m.State == Gone {
			continue
		}
		// A silent machine can't hear SIGTERM.
		_ = m.child.Signal(syscall.SIGCONT)
		ends.Go(func() { m.child.Stop(grace) })
	}
	c.mu.Unlock()
	ends.Wait()
}
