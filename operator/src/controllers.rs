//! Wires the watches to the reconciles.

use std::{future::ready, sync::Arc, time::Duration};

use crds::{ImageJob, WorkerPool, names};
use futures::{
    FutureExt as _, Stream, StreamExt as _, TryStreamExt as _,
    future::{BoxFuture, ok},
};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{
        Controller,
        controller::{Action, Config as ControllerConfig},
        reflector::{self, ObjectRef},
        watcher::{self, Event},
    },
};
use queue::Redis;
use tokio::sync::mpsc;

use crate::{
    config::Config,
    context::{Context, Followers, PoolKey, Wake, Watched},
    garbage::{self, Gone},
    imagejob,
    metrics::Metrics,
    node::karpenter::{self, Reports},
    watch::{self, Listings},
    workerpool,
};

/// Jobs reconciled at once: a burst goes to the queue in one go. Their writes to the API server take turns.
const JOB_CONCURRENCY: u16 = 256;
/// After a reconcile that failed.
const RETRY: Duration = Duration::from_secs(2);
/// After one that met a newer object than it looked at: the watch brings it in a moment.
const CONFLICT_RETRY: Duration = Duration::from_millis(100);

/// Runs both controllers until the process ends.
pub(crate) async fn run(
    client: Client,
    redis: Redis,
    config: Config,
    metrics: Arc<Metrics>,
) -> anyhow::Result<()> {
    let (jobs, jobs_writer) = reflector::store::<ImageJob>();
    let (pools, pools_writer) = reflector::store::<WorkerPool>();
    let (pods, pods_writer) = reflector::store::<Pod>();
    let (nodes, nodes_writer) = reflector::store::<Node>();
    let (karpenter, karpenter_followed) = Reports::new();
    let listings = Listings::default();
    let seen = Watched { jobs, pools, pods, nodes, karpenter, listings: listings.clone() };
    let (wake, woken) = Wake::new();
    let (gone_sender, gone) = mpsc::unbounded_channel();
    let followers = Followers::default();
    let context = Arc::new(Context::new(
        client.clone(),
        config,
        redis,
        Arc::clone(&metrics),
        seen.clone(),
        wake.clone(),
        &followers,
    ));

    let everything = watcher::Config::default;
    let pods = Api::all(client.clone());
    let pods = watch::reflect(pods, workers_only(), pods_writer, trim_pod, &listings, metrics.clone());
    let pods = pods.boxed().for_each(|event| {
        wake_by_pod(event, &wake);
        ready(())
    });
    let nodes = Api::all(client.clone());
    let nodes = watch::reflect(nodes, everything(), nodes_writer, trim_node, &listings, metrics.clone());
    let nodes = nodes.boxed().for_each(|event| {
        wake_by_node(event, &seen, &wake);
        ready(())
    });
    let karpenter = karpenter_followed.run(client.clone(), |uid| wake_by_report(uid, &seen, &wake));
    let jobs = Api::all(client.clone());
    let jobs = watch::reflect(jobs, everything(), jobs_writer, trim_job, &listings, metrics.clone());
    let jobs = jobs.try_filter_map(move |event| ok(follow_jobs(event, &followers, &gone_sender)));
    let pools = Api::all(client);
    let pools = watch::reflect(pools, everything(), pools_writer, |_| (), &listings, metrics);
    let watched = Arc::clone(&context);
    let pools = pools.try_filter_map(move |event| ok(follow_pools(event, &watched)));

    tokio::select! {
        () = run_jobs(jobs.boxed(), woken.jobs, &context) => anyhow::bail!("the ImageJob controller ended"),
        () = run_pools(pools.boxed(), woken.pools, &context) => anyhow::bail!("the WorkerPool controller ended"),
        () = pods => anyhow::bail!("the watch of Pods ended"),
        () = nodes => anyhow::bail!("the watch of Nodes ended"),
        () = karpenter.boxed() => anyhow::bail!("the watch of Karpenter ended"),
        () = imagejob::deadlines::watch(Arc::clone(&context)) => anyhow::bail!("the watch of deadlines ended"),
        () = garbage::collect(gone, Arc::clone(&context)) => anyhow::bail!("the garbage collector ended"),
    }
}

async fn run_jobs(
    changed: impl Stream<Item = watcher::Result<ImageJob>> + Send + 'static,
    woken: impl Stream<Item = ObjectRef<ImageJob>> + Send + 'static,
    context: &Arc<Context>,
) {
    Controller::for_stream(changed, context.seen.jobs.clone())
        .with_config(ControllerConfig::default().concurrency(JOB_CONCURRENCY))
        .reconcile_on(woken)
        .run(reconcile_job, retry_job, Arc::clone(context))
        .boxed()
        .for_each(|_| ready(()))
        .await;
}

async fn run_pools(
    changed: impl Stream<Item = watcher::Result<WorkerPool>> + Send + 'static,
    woken: impl Stream<Item = ObjectRef<WorkerPool>> + Send + 'static,
    context: &Arc<Context>,
) {
    Controller::for_stream(changed, context.seen.pools.clone())
        .reconcile_on(woken)
        .run(reconcile_pool, retry_pool, Arc::clone(context))
        .boxed()
        .for_each(|_| ready(()))
        .await;
}

/// Boxed, as the next: the controllers keep one such future per object at work.
fn reconcile_job(
    job: Arc<ImageJob>,
    context: Arc<Context>,
) -> BoxFuture<'static, Result<Action, imagejob::Error>> {
    async move {
        context.seen.listings.complete().await;
        let _timer = context.metrics.reconcile_seconds.with_label_values(&["imagejob"]).start_timer();
        imagejob::reconcile(job, Arc::clone(&context)).await
    }
    .boxed()
}

fn reconcile_pool(
    pool: Arc<WorkerPool>,
    context: Arc<Context>,
) -> BoxFuture<'static, Result<Action, workerpool::Error>> {
    async move {
        context.seen.listings.complete().await;
        let _timer = context.metrics.reconcile_seconds.with_label_values(&["workerpool"]).start_timer();
        let key = PoolKey::of(&pool);
        let next = workerpool::reconcile(pool, Arc::clone(&context)).await?;
        if context.pools.is_news(&key, None) {
            tracing::info!(pool = %key, "WorkerPool reconciled again");
        }
        Ok(next)
    }
    .boxed()
}

#[allow(clippy::needless_pass_by_value)] // kube's signature
fn retry_job(job: Arc<ImageJob>, error: &imagejob::Error, context: Arc<Context>) -> Action {
    if error.is_conflict() {
        return Action::requeue(CONFLICT_RETRY);
    }
    let labels = ["imagejob", error.step()];
    context.metrics.reconcile_errors.with_label_values(&labels).inc();
    tracing::warn!(job = %ObjectRef::from_obj(&*job), %error, "ImageJob not reconciled, trying again");
    Action::requeue(RETRY)
}

#[allow(clippy::needless_pass_by_value)] // kube's signature
fn retry_pool(pool: Arc<WorkerPool>, error: &workerpool::Error, context: Arc<Context>) -> Action {
    let labels = ["workerpool", error.step()];
    context.metrics.reconcile_errors.with_label_values(&labels).inc();
    let key = PoolKey::of(&pool);
    if context.pools.is_news(&key, Some(error.to_string())) {
        tracing::warn!(pool = %key, %error, "WorkerPool not reconciled, trying until it is");
    }
    Action::requeue(RETRY)
}

/// The job to be reconciled, if the event shows a new one or a new spec: a new status we have written ourselves.
fn follow_jobs(
    event: Event<ImageJob>,
    followers: &Followers,
    gone: &mpsc::UnboundedSender<Gone>,
) -> Option<ImageJob> {
    let new = followers.uids.follow(&event);
    // A closed channel means that the process is ending.
    match event {
        Event::Apply(job) | Event::InitApply(job) => {
            followers.writes.caught_up(&job);
            return new.then_some(job);
        }
        Event::Delete(job) => drop(gone.send(Gone::Job(Box::new(job)))),
        Event::InitDone => drop(gone.send(Gone::Listed)),
        Event::Init => {}
    }
    None
}

/// As [`follow_jobs`]. What happens to a pool is what its jobs may have waited for.
fn follow_pools(event: Event<WorkerPool>, context: &Context) -> Option<WorkerPool> {
    let (key, new) = match event {
        Event::Apply(pool) | Event::InitApply(pool) if context.pools.is_new(&pool) => {
            (PoolKey::of(&pool), Some(pool))
        }
        Event::Delete(pool) => {
            let key = PoolKey::of(&pool);
            context.forget_pool(&key);
            (key, None)
        }
        Event::Apply(_) | Event::InitApply(_) | Event::Init | Event::InitDone => return None,
    };
    for job in context.unfinished_of(&key) {
        context.wake.job(ObjectRef::from_obj(&*job));
    }
    new
}

fn wake_by_pod(event: watcher::Result<Event<Pod>>, wake: &Wake) {
    if let Ok(Event::Apply(pod) | Event::Delete(pod)) = event {
        wake_pool_of(&pod, wake);
    }
}

fn wake_by_node(event: watcher::Result<Event<Node>>, seen: &Watched, wake: &Wake) {
    if let Ok(Event::Apply(node) | Event::Delete(node)) = event {
        wake_pools_on(&node, seen, wake);
    }
}

/// Something was said of the Node or NodeClaim of this uid.
fn wake_by_report(uid: &str, seen: &Watched, wake: &Wake) {
    for node in seen.nodes.state_filter(|node| karpenter::is(node, uid)) {
        wake_pools_on(&node, seen, wake);
    }
}

fn wake_pools_on(node: &Node, seen: &Watched, wake: &Wake) {
    let on_it =
        |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) == node.metadata.name.as_ref();
    for pod in seen.pods.state_filter(on_it) {
        wake_pool_of(&pod, wake);
    }
}

fn wake_pool_of(pod: &Pod, wake: &Wake) {
    if let (Some(namespace), Some(pool)) = (pod.namespace(), pod.labels().get(names::LABEL_POOL)) {
        wake.pool(&PoolKey::new(namespace, pool));
    }
}

fn workers_only() -> watcher::Config {
    watcher::Config::default().labels(&format!("{}={}", names::LABEL_APP, names::WORKER_APP))
}

/// An ended job is only looked at for its time to live.
fn trim_job(job: &mut ImageJob) {
    job.metadata.labels = None;
    job.metadata.annotations = None;
    let ended = imagejob::ended(job);
    if ended {
        job.spec.text_to_image = None;
        job.spec.workflow = None;
    }
    if let Some(status) = &mut job.status {
        if ended {
            status.images = Vec::new();
            status.failures = Vec::new();
        }
        // As they were read they have room for more.
        status.conditions.shrink_to_fit();
        status.images.shrink_to_fit();
    }
}

fn trim_pod(pod: &mut Pod) {
    if let Some(spec) = &mut pod.spec {
        spec.containers = Vec::new();
        spec.init_containers = None;
        spec.volumes = None;
    }
}

fn trim_node(node: &mut Node) {
    if let Some(status) = &mut node.status {
        status.images = None;
        status.allocatable = None;
        status.capacity = None;
    }
}
