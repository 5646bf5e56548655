// Package controllers runs the controllers of Kubernetes that the programs on a
// cluster need. The whole controller manager has three times as many, and the
// others would take longer to compile than these.
package controllers

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
)

const (
	// resync is the time after which informers deliver all objects again.
	resync = 12 * time.Hour
	// rediscover is the time within which a new kind of object is known.
	rediscover = 30 * time.Second
	// The pace of requests to the API server.
	clientQPS, clientBurst = 400, 800
)

// Main runs the controllers until it is told to stop.
func Main(argv []string) int {
	flags := flag.NewFlagSet(argv[0], flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig of an administrator")
	rootCA := flags.String("root-ca-file", "", "the API server's CA, for every namespace")
	_ = flags.Parse(argv[1:]) // ExitOnError
	ctx, stop := signal.NotifyContext(klog.NewContext(context.Background(), klog.Background()), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *kubeconfig, *rootCA); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", argv[0], err)
		return 1
	}
	return 0
}

// starter holds what every controller is made of.
type starter struct {
	config    *rest.Config
	client    kubernetes.Interface
	metadata  metadata.Interface
	rootCA    []byte
	mapper    *restmapper.DeferredDiscoveryRESTMapper
	informers informers.SharedInformerFactory
	// generic also has informers of kinds that the client has no types for.
	generic informerfactory.InformerFactory
	// started is closed once informers run.
	started chan struct{}
}

func run(ctx context.Context, kubeconfig, rootCA string) error {
	s, err := newStarter(ctx, kubeconfig, rootCA)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	for name, build := range all {
		loop, err := build(ctx, s)
		if err != nil {
			return fmt.Errorf("the %s controller: %w", name, err)
		}
		running.Go(func() { loop(ctx) })
	}
	s.generic.Start(ctx.Done())
	s.informers.Start(ctx.Done())
	close(s.started)
	running.Wait()
	return nil
}

func newStarter(ctx context.Context, kubeconfig, rootCA string) (*starter, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading --kubeconfig: %w", err)
	}
	config.QPS, config.Burst = clientQPS, clientBurst
	s := &starter{config: config, started: make(chan struct{})}
	if s.rootCA, err = os.ReadFile(rootCA); err != nil {
		return nil, fmt.Errorf("reading --root-ca-file: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("building the API client: %w", err)
	}
	s.client = client
	if s.metadata, err = metadata.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("building the metadata client: %w", err)
	}
	s.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	go wait.UntilWithContext(ctx, func(context.Context) { s.mapper.Reset() }, rediscover)
	s.informers = informers.NewSharedInformerFactory(client, resync)
	s.generic = informerfactory.NewInformerFactory(s.informers, metadatainformer.NewSharedInformerFactory(s.metadata, resync))
	return s, nil
}
