// Package cloud is the cluster's cloud provider: it owns the machines, starts
// them on demand and removes them, with or without notice.
package cloud

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"imagejob.dev/localcluster/internal/controlplane"
	"imagejob.dev/localcluster/internal/limits"
	"imagejob.dev/localcluster/internal/metadata"
	"imagejob.dev/localcluster/internal/node"
	"imagejob.dev/localcluster/internal/process"
)

// metadataVariable tells a Pod's process where its machine's metadata service is.
const metadataVariable = "LOCALCLUSTER_METADATA_URL"

// leftoverTimeout bounds the search for processes of a dead machine.
const leftoverTimeout = 5 * time.Second

// Options is what a cloud needs of its cluster.
type Options struct {
	Client  kubernetes.Interface
	Plane   *controlplane.ControlPlane
	Layout  controlplane.Layout
	Spawner *process.Spawner
	// Self is this binary, which runs as a node.
	Self string
	// Images is the path of the image table.
	Images string
	Config Config
	// Memory makes the cgroups of containers with a memory limit.
	Memory limits.Memory
	// Log gets progress and errors.
	Log io.Writer
}

// Cloud is all the machines of one cluster.
type Cloud struct {
	Options

	recorder record.EventRecorder
	// refusals is the last message that each waiting Pod got.
	refusals map[types.UID]string

	mu sync.Mutex
	// began is the time at which the traces started.
	began    time.Time
	machines map[string]*Machine
	numbers  map[string]int
	stopped  bool
	// lastBlock is the address block given out last; 0 before the first.
	lastBlock int
}

// New returns a cloud without machines.
func New(o Options) *Cloud {
	return &Cloud{
		Options: o, began: time.Now(), recorder: newRecorder(o.Client),
		refusals: map[types.UID]string{}, machines: map[string]*Machine{}, numbers: map[string]int{},
	}
}

// LaunchSystem starts the machine that no group describes.
func (c *Cloud) LaunchSystem(name string) error {
	return c.launch(Spec{Name: name, Group: systemGroup}, 0)
}

// Launch starts a machine of a group, whatever the group's capacity.
func (c *Cloud) Launch(group string) (string, error) {
	g := c.group(group)
	if g == nil {
		return "", fmt.Errorf("there is no node group %q in the provisioner file", group)
	}
	return c.order(g)
}

func (c *Cloud) order(g *Group) (string, error) {
	c.mu.Lock()
	c.numbers[g.Name]++
	name := fmt.Sprintf("%s-%d", g.Name, c.numbers[g.Name])
	c.mu.Unlock()
	return name, c.launch(g.spec(name), g.StartDelay.Duration)
}

// launch registers a machine and boots it after a delay.
func (c *Cloud) launch(spec Spec, delay time.Duration) error {
	if err := c.Layout.CheckNodeName(spec.Name); err != nil {
		return err
	}
	m := &Machine{Spec: spec, State: Starting}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errors.New("the cluster is stopping")
	}
	c.machines[spec.Name] = m
	if delay == 0 {
		return c.boot(m)
	}
	time.AfterFunc(delay, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err := c.boot(m); err != nil {
			fmt.Fprintf(c.Log, "cloud: %v\n", err)
		}
	})
	return nil
}

// boot starts the machine's process, unless the machine was cancelled. Its Node
// appears when its kubelet has registered. The caller holds the lock.
func (c *Cloud) boot(m *Machine) error {
	if m.State != Starting || c.stopped {
		return nil
	}
	if err := c.start(m); err != nil {
		m.State, m.GoneAt = Gone, time.Now()
		return fmt.Errorf("starting machine %s: %w", m.Name, err)
	}
	m.State, m.Booted = Running, time.Now()
	go func() {
		<-m.child.Done()
		c.markDead(m)
	}()
	return nil
}

func (c *Cloud) start(m *Machine) error {
	root := c.Layout.Node(m.Name)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return fmt.Errorf("creating its folder: %w", err)
	}
	block, err := claimAddressBlock(c.lastBlock)
	if err != nil {
		return err
	}
	c.lastBlock = block.index
	kubeconfig := filepath.Join(root, "kubeconfig")
	serving, err := c.Plane.NodeCredentials(m.Name, block.Kubelet().String(), kubeconfig)
	if err != nil {
		block.release()
		return err
	}
	args := []string{
		"localnode",
		"--name", m.Name,
		"--index", fmt.Sprint(block.index),
		"--gpus", fmt.Sprint(m.GPUs),
		"--labels", formatLabels(m.Labels),
		"--taints", node.FormatTaints(m.Taints),
		"--images", c.Images,
		"--root", root,
		"--kubeconfig", kubeconfig,
		"--client-ca", c.Plane.CAPath(),
		"--tls-cert", serving.Cert,
		"--tls-key", serving.Key,
		"--pod-env", metadataVariable + "=" + block.metadataURL(),
		"--memory-cgroups", c.Memory.Dir(),
		"--restart-backoff", c.Config.RestartBackoff.Duration.String(),
	}
	cmd := &exec.Cmd{Path: c.Self, Args: args, Env: os.Environ(), SysProcAttr: &syscall.SysProcAttr{}}
	if m.Disk > 0 && limits.CanMount() == nil {
		cmd.Args = append(cmd.Args, "--disk", fmt.Sprint(m.Disk))
		limits.OwnMounts(cmd.SysProcAttr)
	}
	child, err := c.Spawner.StartChild("localnode "+m.Name, c.Layout.Log("node-"+m.Name), cmd)
	if err != nil {
		block.release()
		return err
	}
	m.block, m.child = block, child
	m.imds = metadata.Serve(block.listener, c.Config.Metadata, m.Name)
	return nil
}

func (c *Cloud) marker() string { return process.StateMarker + "=" + c.Layout.State }

// markDead records a machine's death and ends the processes that survived its
// kubelet: those that its Pods' processes have forked.
func (c *Cloud) markDead(m *Machine) {
	process.KillMarked(leftoverTimeout, c.marker(), process.NodeMarker+"="+m.Name)
	m.imds.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !m.ending {
		fmt.Fprintf(c.Log, "cloud: %v\n", m.child.Failure())
	}
	m.State, m.GoneAt = Gone, time.Now()
	if m.removed {
		delete(c.machines, m.Name)
	}
}

// RestartTraces starts every trace from its beginning.
func (c *Cloud) RestartTraces() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.began = time.Now()
}

func (c *Cloud) tracesBegan() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.began
}

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

// Kill ends the machine at once, like a power failure.
func (c *Cloud) Kill(name string) error {
	m, err := c.booted(name)
	if err != nil {
		return err
	}
	c.end(m)
	return nil
}

// end kills the machine's process, and with it all processes on the machine.
func (c *Cloud) end(m *Machine) {
	c.mu.Lock()
	m.ending = true
	c.mu.Unlock()
	m.child.Kill()
}

// KillZone ends all machines of a zone at once and returns their names.
func (c *Cloud) KillZone(zone string) ([]string, error) {
	var names []string
	var deaths sync.WaitGroup
	c.mu.Lock()
	for _, m := range c.machines {
		if m.Zone == zone && m.living() && m.child != nil {
			names = append(names, m.Name)
			deaths.Go(func() { c.end(m) })
		}
	}
	c.mu.Unlock()
	deaths.Wait()
	if len(names) == 0 {
		return nil, fmt.Errorf("there is no living machine in zone %q", zone)
	}
	slices.Sort(names)
	return names, nil
}

// Silence stops the kubelet, but not its Pods' processes.
func (c *Cloud) Silence(name string) error { return c.signal(name, syscall.SIGSTOP, Silent) }

// Resume continues a kubelet that was stopped by Silence.
func (c *Cloud) Resume(name string) error { return c.signal(name, syscall.SIGCONT, Running) }

func (c *Cloud) signal(name string, sig syscall.Signal, state State) error {
	m, err := c.booted(name)
	if err != nil {
		return err
	}
	if err := m.child.Signal(sig); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.State == Running || m.State == Silent {
		m.State = state
	}
	return nil
}

// booted finds a machine that has a process.
func (c *Cloud) booted(name string) (*Machine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.machines[name]
	switch {
	case m == nil:
		return nil, fmt.Errorf("there is no machine %q", name)
	case m.State == Gone:
		return nil, fmt.Errorf("machine %q is gone already", name)
	case m.State == Starting:
		return nil, fmt.Errorf("machine %q is still starting", name)
	}
	return m, nil
}

// Stop switches off every machine for good.
func (c *Cloud) Stop(grace time.Duration) {
	var ends sync.WaitGroup
	c.mu.Lock()
	c.stopped = true
	for _, m := range c.machines {
		if m.child == nil || m.State == Gone {
			continue
		}
		// A stopped kubelet does not receive SIGTERM.
		m.ending = true
		_ = m.child.Signal(syscall.SIGCONT)
		ends.Go(func() { m.child.Stop(grace) })
	}
	c.mu.Unlock()
	ends.Wait()
}
