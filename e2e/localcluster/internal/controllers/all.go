package controllers

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	quotageneric "k8s.io/apiserver/pkg/quota/v1/generic"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/scale"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/disruption"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/nodelifecycle"
	"k8s.io/kubernetes/pkg/controller/podgc"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/resourcequota"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controller/statefulset"
	"k8s.io/kubernetes/pkg/controller/tainteviction"
	quotainstall "k8s.io/kubernetes/pkg/quota/v1/install"
)

// The controller manager's defaults.
const (
	workers            = 5
	gcWorkers          = 20
	gcSync             = 30 * time.Second
	fullSync           = 5 * time.Minute
	terminatedPodsKept = 12500
	nodeMonitorPeriod  = 5 * time.Second
	nodeStartupGrace   = time.Minute
	nodeMonitorGrace   = 50 * time.Second
	evictionRate       = 0.1
	slowEvictionRate   = 0.01
	largeCluster       = 50
	unhealthyZone      = 0.55
)

// loop runs until its context ends.
type loop func(context.Context)

// all is every controller by name.
var all = map[string]func(context.Context, *starter) (loop, error){
	"clusterrole aggregation": func(_ context.Context, s *starter) (loop, error) {
		c := clusterroleaggregation.NewClusterRoleAggregation(s.informers.Rbac().V1().ClusterRoles(), s.client.RbacV1())
		return with(c.Run), nil
	},
	"deployment": func(ctx context.Context, s *starter) (loop, error) {
		apps := s.informers.Apps().V1()
		c, err := deployment.NewDeploymentController(ctx, apps.Deployments(), apps.ReplicaSets(), s.informers.Core().V1().Pods(), s.client)
		if err != nil {
			return nil, err
		}
		return with(c.Run), nil
	},
	"disruption":        newDisruption,
	"garbage collector": newGarbageCollector,
	"namespace": func(ctx context.Context, s *starter) (loop, error) {
		discover := s.client.Discovery().ServerPreferredNamespacedResources
		c := namespace.NewNamespaceController(ctx, s.client, s.metadata, discover, s.informers.Core().V1().Namespaces(), fullSync, v1.FinalizerKubernetes)
		return with(c.Run), nil
	},
	"node lifecycle": func(ctx context.Context, s *starter) (loop, error) {
		core := s.informers.Core().V1()
		c, err := nodelifecycle.NewNodeLifecycleController(
			ctx, s.informers.Coordination().V1().Leases(), core.Pods(), core.Nodes(), s.informers.Apps().V1().DaemonSets(), s.client,
			nodeMonitorPeriod, nodeStartupGrace, nodeMonitorGrace, evictionRate, slowEvictionRate, largeCluster, unhealthyZone)
		if err != nil {
			return nil, err
		}
		return c.Run, nil
	},
	"Pod garbage collector": func(ctx context.Context, s *starter) (loop, error) {
		core := s.informers.Core().V1()
		return podgc.NewPodGC(ctx, s.client, core.Pods(), core.Nodes(), terminatedPodsKept).Run, nil
	},
	"replica set": func(ctx context.Context, s *starter) (loop, error) {
		c := replicaset.NewReplicaSetController(ctx, s.informers.Apps().V1().ReplicaSets(), s.informers.Core().V1().Pods(), s.client, replicaset.BurstReplicas)
		return with(c.Run), nil
	},
	"resource quota": newResourceQuota,
	"root CA": func(_ context.Context, s *starter) (loop, error) {
		core := s.informers.Core().V1()
		c, err := rootcacertpublisher.NewPublisher(core.ConfigMaps(), core.Namespaces(), s.client, s.rootCA)
		if err != nil {
			return nil, err
		}
		return with(c.Run), nil
	},
	"service account": func(ctx context.Context, s *starter) (loop, error) {
		core := s.informers.Core().V1()
		c, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx), core.ServiceAccounts(), core.Namespaces(), s.client, serviceaccount.DefaultServiceAccountsControllerOptions())
		if err != nil {
			return nil, err
		}
		return with(c.Run), nil
	},
	"stateful set": func(ctx context.Context, s *starter) (loop, error) {
		core, apps := s.informers.Core().V1(), s.informers.Apps().V1()
		c := statefulset.NewStatefulSetController(ctx, core.Pods(), apps.StatefulSets(), core.PersistentVolumeClaims(), apps.ControllerRevisions(), s.client)
		return with(c.Run), nil
	},
	"taint eviction": func(ctx context.Context, s *starter) (loop, error) {
		core := s.informers.Core().V1()
		c, err := tainteviction.New(ctx, s.client, core.Pods(), core.Nodes(), "taint-eviction-controller")
		if err != nil {
			return nil, err
		}
		return c.Run, nil
	},
}

// with gives a controller its workers.
func with(run func(context.Context, int)) loop {
	return func(ctx context.Context) { run(ctx, workers) }
}

func newDisruption(ctx context.Context, s *starter) (loop, error) {
	scales, err := scale.NewForConfig(s.config, s.mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(s.client.Discovery()))
	if err != nil {
		return nil, err
	}
	core, apps := s.informers.Core().V1(), s.informers.Apps().V1()
	c := disruption.NewDisruptionController(
		ctx, core.Pods(), s.informers.Policy().V1().PodDisruptionBudgets(), core.ReplicationControllers(),
		apps.ReplicaSets(), apps.Deployments(), apps.StatefulSets(), s.client, s.mapper, scales, s.client.Discovery())
	return with(c.Run), nil
}

func newGarbageCollector(ctx context.Context, s *starter) (loop, error) {
	graph := garbagecollector.NewDependencyGraphBuilder(ctx, s.metadata, s.mapper, garbagecollector.DefaultIgnoredResources(), s.generic, s.started)
	c, err := garbagecollector.NewComposedGarbageCollector(ctx, s.client, s.metadata, s.mapper, graph)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		go c.Sync(ctx, s.client.Discovery(), gcSync)
		c.Run(ctx, gcWorkers, gcSync)
	}, nil
}

func newResourceQuota(ctx context.Context, s *starter) (loop, error) {
	discover := s.client.Discovery().ServerPreferredNamespacedResources
	configuration, err := quotainstall.NewQuotaConfigurationForControllers(quotageneric.ListerFuncForResourceFunc(s.informers.ForResource), s.informers)
	if err != nil {
		return nil, err
	}
	c, err := resourcequota.NewController(ctx, &resourcequota.ControllerOptions{
		QuotaClient:               s.client.CoreV1(),
		ResourceQuotaInformer:     s.informers.Core().V1().ResourceQuotas(),
		ResyncPeriod:              controller.StaticResyncPeriodFunc(fullSync),
		InformerFactory:           s.generic,
		ReplenishmentResyncPeriod: controller.StaticResyncPeriodFunc(resync),
		DiscoveryFunc:             discover,
		IgnoredResourcesFunc:      configuration.IgnoredResources,
		InformersStarted:          s.started,
		Registry:                  quotageneric.NewRegistry(configuration.Evaluators()),
		UpdateFilter:              quotainstall.DefaultUpdateFilter(),
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		go c.Sync(ctx, discover, rediscover)
		c.Run(ctx, workers)
	}, nil
}
