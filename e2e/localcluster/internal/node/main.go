// Package node is one machine of the cluster: a real kubelet over the process
// runtime. Its process is the machine: a signal that kills it kills its Pods.
package node

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"k8s.io/klog/v2"

	"imagejob.dev/localcluster/internal/cri"
	"imagejob.dev/localcluster/internal/images"
	"imagejob.dev/localcluster/internal/limits"
	"imagejob.dev/localcluster/internal/process"
)

const (
	// stopGrace is the time that the Pods' processes have when the node is
	// switched off.
	stopGrace = 2 * time.Second
	// gcPercent trades a little CPU for memory: many nodes share one machine.
	gcPercent = 40
	// diskFolder is where a node's disk is mounted in its folder.
	diskFolder = "disk"
)

// config is a node's command line.
type config struct {
	name       string
	index      int
	gpus       int
	labels     string
	taints     string
	images     string
	root       string
	kubeconfig string
	ca         string
	cert       string
	key        string
	podEnv     string
	// memory is the folder of the containers' cgroups; empty for none.
	memory string
	// disk is the limit for what the node's Pods write, in bytes; 0 for no
	// limit.
	disk int64
	// restartBackoff is the longest wait before a container that crashed again
	// is started again.
	restartBackoff time.Duration
}

// Main runs a node until it is told to stop.
func Main(argv []string) int {
	var c config
	flags := flag.NewFlagSet(argv[0], flag.ExitOnError)
	flags.StringVar(&c.name, "name", "", "name of the Node")
	flags.IntVar(&c.index, "index", 0, "block of addresses, 127.INDEX.0.0/16, that no other living node uses (1-254)")
	flags.IntVar(&c.gpus, "gpus", 0, "how many nvidia.com/gpu the node has")
	flags.StringVar(&c.labels, "labels", "", "labels of the Node, KEY=VALUE,...")
	flags.StringVar(&c.taints, "taints", "", "taints of the Node, KEY=VALUE:EFFECT,...")
	flags.StringVar(&c.images, "images", "", "image table")
	flags.StringVar(&c.root, "root", "", "folder for the node's files")
	flags.StringVar(&c.kubeconfig, "kubeconfig", "", "the node's own kubeconfig")
	flags.StringVar(&c.ca, "client-ca", "", "CA of those who may call the kubelet")
	flags.StringVar(&c.cert, "tls-cert", "", "serving certificate of the kubelet")
	flags.StringVar(&c.key, "tls-key", "", "key of the serving certificate")
	flags.StringVar(&c.podEnv, "pod-env", "", "environment added to every process, NAME=VALUE,...")
	flags.StringVar(&c.memory, "memory-cgroups", "", "folder for the cgroups of containers with a memory limit")
	flags.Int64Var(&c.disk, "disk", 0, "bytes that the node's Pods may write; needs mounts of its own")
	flags.DurationVar(&c.restartBackoff, "restart-backoff", time.Second, "longest wait before a crashed container is started again")
	_ = flags.Parse(argv[1:]) // ExitOnError
	if err := run(c); err != nil {
		fmt.Fprintf(os.Stderr, "localnode %s: %v\n", c.name, err)
		return 1
	}
	return 0
}

func run(c config) error {
	debug.SetGCPercent(gcPercent)
	ctx, stop := signal.NotifyContext(klog.NewContext(context.Background(), klog.Background()), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if c.disk > 0 {
		c.root = filepath.Join(c.root, diskFolder)
		if err := limits.Disk(c.root, c.disk); err != nil {
			return err
		}
	}
	address, err := NewAddressBlock(c.index)
	if err != nil {
		return err
	}
	clients, err := newClients(c.kubeconfig)
	if err != nil {
		return err
	}
	table, err := images.NewTable(c.images)
	if err != nil {
		return err
	}
	runtime := cri.New(cri.Options{
		Root:      filepath.Join(c.root, "containers"),
		Addresses: cri.NewAddresses(byte(c.index)),
		NodeIP:    address.Kubelet(),
		Server:    clients.server,
		Env:       splitList(c.podEnv),
		Images:    table,
		Memory:    limits.OpenMemory(c.memory),
		Spawner: process.NewSpawner(
			process.StateMarker+"="+os.Getenv(process.StateMarker),
			process.RunMarker+"="+os.Getenv(process.RunMarker),
			process.NodeMarker+"="+c.name),
	})
	if err := startKubelet(ctx, c, address, clients, runtime, cri.NewImages(table, c.root)); err != nil {
		return err
	}
	<-ctx.Done()
	runtime.Shutdown(stopGrace)
	return nil
}

func splitList(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}
