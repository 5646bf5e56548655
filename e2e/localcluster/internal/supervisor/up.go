// Package supervisor is the foreground process that owns a cluster.
package supervisor

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"imagejob.dev/localcluster/internal/cloud"
	"imagejob.dev/localcluster/internal/control"
	"imagejob.dev/localcluster/internal/controlplane"
	"imagejob.dev/localcluster/internal/limits"
	"imagejob.dev/localcluster/internal/process"
)

const (
	// nodeGrace is a node's time between SIGTERM and SIGKILL; its Pods get a
	// little less.
	nodeGrace = 3 * time.Second
	// leftoverTimeout bounds the search for processes that an earlier run left.
	leftoverTimeout = 5 * time.Second
)

type options struct {
	state       string
	images      string
	provisioner string
	systemNode  bool
}

// Up runs a cluster until it is told to stop or a component dies.
func Up(argv []string) int {
	var o options
	flags := flag.NewFlagSet("localcluster up", flag.ExitOnError)
	flags.StringVar(&o.state, "state", "", "folder for everything that the cluster writes (required)")
	flags.StringVar(&o.images, "images", "", "table of the programs that stand in for container images")
	flags.StringVar(&o.provisioner, "provisioner", "", "node groups, and how machines come and go")
	flags.BoolVar(&o.systemNode, "system-node", true, "start with one node without GPUs or taints")
	_ = flags.Parse(argv[1:]) // ExitOnError
	if o.state == "" {
		fmt.Fprintln(os.Stderr, "localcluster up: --state DIR is required")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	if err := up(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "localcluster up: %v\n", err)
		return 1
	}
	return 0
}

func up(ctx context.Context, o options) error {
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%5.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	layout, err := controlplane.NewLayout(o.state)
	if err != nil {
		return err
	}
	unlock, err := takeOver(layout)
	if err != nil {
		return err
	}
	defer unlock()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	images, err := checkedTable(o.images)
	if err != nil {
		return err
	}
	config, err := cloud.ReadConfig(o.provisioner)
	if err != nil {
		return err
	}
	name := rand.Text()
	memory := enforceLimits("localcluster-"+name, say)
	defer memory.Remove()
	run := process.RunMarker + "=" + name
	reaper, err := process.NewReaper(run, memory.Dir())
	if err != nil {
		return err
	}
	defer reaper.Dismiss()
	spawner := process.NewSpawner(process.StateMarker+"="+layout.State, run)
	say("starting the control plane in %s", layout.State)
	plane, err := controlplane.Start(ctx, layout, spawner, self)
	if ctx.Err() != nil {
		if plane != nil {
			plane.Stop()
		}
		say("stopped before it was ready")
		return nil
	}
	if err != nil {
		return err
	}
	say("API server ready at %s", plane.Server)
	client, err := newClient(layout)
	if err != nil {
		plane.Stop()
		return err
	}
	machines := cloud.New(cloud.Options{
		Client: client, Plane: plane, Layout: layout, Spawner: spawner, Self: self,
		Images: images, Config: config, Memory: memory, Log: os.Stderr,
	})
	cloudCtx, stopCloud := context.WithCancel(context.Background())
	cloudDone := make(chan error, 1)
	go func() { cloudDone <- machines.Run(cloudCtx) }()

	failure := serve(ctx, o, layout, plane, machines, client, say)

	say("stopping")
	_ = os.Remove(layout.Ready())
	stopCloud()
	<-cloudDone
	machines.Stop(nodeGrace)
	plane.Stop()
	if left := process.KillMarked(leftoverTimeout, process.StateMarker+"="+layout.State); len(left) > 0 {
		return errors.Join(failure, fmt.Errorf("processes %v could not be ended", left))
	}
	say("stopped")
	return failure
}

// enforceLimits prints the limits that the kernel lets this user enforce.
func enforceLimits(name string, say func(string, ...any)) limits.Memory {
	memory, err := limits.NewMemory(name)
	if err != nil {
		say("memory limits of containers are not enforced: %v", err)
	} else {
		say("memory limits of containers are enforced (%v)", memory)
	}
	if err := limits.CanMount(); err != nil {
		say("disks of machines are not bounded: %v", err)
	}
	return memory
}

// serve waits until the cluster is usable, reports it, and returns when the
// cluster has to stop: nil for a request, an error if a component died.
func serve(ctx context.Context, o options, layout controlplane.Layout, plane *controlplane.ControlPlane, machines *cloud.Cloud, client kubernetes.Interface, say func(string, ...any)) error {
	readyCtx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	ready := make(chan error, 1)
	go func() { ready <- becomeReady(readyCtx, o, machines, client, say) }()
	select {
	case err := <-ready:
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	case err := <-plane.Died():
		return err
	}
	if err := control.Serve(ctx, layout.Control(), machines, plane); err != nil {
		return err
	}
	if err := writeReady(layout, plane); err != nil {
		return err
	}
	say("ready: export KUBECONFIG=%s", layout.Kubeconfig())
	fmt.Println("ready")
	select {
	case <-ctx.Done():
		return nil
	case err := <-plane.Died():
		return err
	}
}

func newClient(layout controlplane.Layout) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", layout.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 200, 400
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("building a client: %w", err)
	}
	return client, nil
}
