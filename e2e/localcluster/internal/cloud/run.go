package cloud

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	v1core "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

const (
	// tick is the time between two rounds without a change.
	tick = 500 * time.Millisecond
	// apiTimeout bounds the calls of one round.
	apiTimeout = 10 * time.Second
)

// controllerName is the source of the cloud's events.
const controllerName = "localcluster"

// world is the state of the cluster that the cloud sees.
type world struct {
	nodes corelisters.NodeLister
	pods  corelisters.PodLister
}

// newRecorder records events on Nodes and Pods in the cloud's name.
func newRecorder(client kubernetes.Interface) record.EventRecorder {
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&v1core.EventSinkImpl{Interface: client.CoreV1().Events("")})
	return broadcaster.NewRecorder(scheme.Scheme, v1.EventSource{Component: controllerName})
}

// Run manages the machines until ctx ends.
func (c *Cloud) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(c.Client, 0)
	core := factory.Core().V1()
	wake, err := wakeOn(core.Nodes().Informer(), core.Pods().Informer())
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	w := world{nodes: core.Nodes().Lister(), pods: core.Pods().Lister()}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-ticker.C:
		}
		trouble := ""
		if err := c.lookAround(ctx, w); err != nil {
			trouble = err.Error()
		}
		// The same error occurs at every tick while the API server is away.
		if trouble != "" && trouble != said && ctx.Err() == nil {
			fmt.Fprintf(c.Log, "cloud: %s\n", trouble)
		}
		said = trouble
	}
}

// wakeOn returns a channel that has an item when an object has changed.
func wakeOn(sources ...cache.SharedIndexInformer) (<-chan struct{}, error) {
	wake := make(chan struct{}, 1)
	poke := func(any) {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	for _, source := range sources {
		if _, err := source.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    poke,
			UpdateFunc: func(_, changed any) { poke(changed) },
			DeleteFunc: poke,
		}); err != nil {
			return nil, fmt.Errorf("watching the cluster: %w", err)
		}
	}
	return wake, nil
}

// lookAround does everything that is due.
func (c *Cloud) lookAround(ctx context.Context, w world) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	now := time.Now()
	for _, step := range []func(context.Context, world, time.Time) error{
		c.initialiseNew, c.deleteGone, c.followTraces, c.provision, c.removeEmpty,
	} {
		if err := step(ctx, w, now); err != nil {
			return err
		}
	}
	return nil
}
