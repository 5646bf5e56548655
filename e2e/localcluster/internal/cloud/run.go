package cloud

import (
	"context"
	"fmt"
	"io"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	cloudproviderapi "k8s.io/cloud-provider/api"
)

// tick is how often the cloud looks at its machines without a cause.
const tick = 500 * time.Millisecond

// Run looks after the Nodes until ctx ends. Progress and trouble go to log.
func (c *Cloud) Run(ctx context.Context, log io.Writer) error {
	factory := informers.NewSharedInformerFactory(c.client, 0)
	nodes := factory.Core().V1().Nodes()
	wake := make(chan struct{}, 1)
	poke := func(any) {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	if _, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    poke,
		UpdateFunc: func(_, changed any) { poke(changed) },
		DeleteFunc: poke,
	}); err != nil {
		return fmt.Errorf("watching Nodes: %w", err)
	}
	factory.Start(ctx.Done())
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-ticker.C:
		}
		if err := c.lookAfter(ctx, nodes.Lister()); err != nil && ctx.Err() == nil {
			fmt.Fprintf(log, "cloud: %v\n", err)
		}
	}
}

// lookAfter brings every Node on that needs something of its cloud.
func (c *Cloud) lookAfter(ctx context.Context, lister corelisters.NodeLister) error {
	list, err := lister.List(labels.Everything())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	for _, n := range list {
		if needsInitialising(n) {
			if err := c.initialise(ctx, n.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

func needsInitialising(n *v1.Node) bool {
	return hasTaint(n, cloudproviderapi.TaintExternalCloudProvider)
}
