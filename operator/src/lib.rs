//! The operator: watches ImageJobs and WorkerPools, decides, acts.
//!
//! Data flows one way: [`index`] → [`keeper`] → [`planner`] → [`executors`]. `docs/ARCHITECTURE.md` follows one job
//! through these files.

// The futures of watches, executors and the Redis client nest deeper than the default allows.
#![recursion_limit = "256"]

mod capacity;
mod config;
mod credentials;
mod engines;
mod executors;
#[cfg(test)]
mod fixtures;
mod http;
mod imagejob;
mod index;
mod keeper;
mod leader;
mod metrics;
mod node;
mod notice;
mod planner;
mod words;
mod workerpool;

use std::{
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use anyhow::Context as _;
use futures::FutureExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt as _};
use queue::{Redis, Tls};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

pub use config::{Config, LogFormat};

use executors::Server;
use http::Readiness;
use index::{Index, Listings};
use leader::Leadership;
use metrics::Metrics;
use workerpool::pod::Given;

/// Between two tries to reach what is not there yet.
const RETRY: Duration = Duration::from_secs(2);
/// How often the leader asks whether Redis is there.
const PING_EVERY: Duration = Duration::from_secs(5);
/// A leader that has not reached Redis for so long may be the only one who doesn't: it lets another lead.
const AWAY: Duration = Duration::from_secs(30);
/// Then it gives the others so long before it stands for election again.
const STAND_BACK: Duration = Duration::from_secs(10);
/// What keepers say about jobs waits here; a keeper waits when it is full.
const ANSWERS: usize = 4096;

/// Runs the operator until SIGTERM, SIGINT or the loss of leadership.
///
/// # Errors
/// When the configuration can't work, or leadership is lost.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new().context("register the metrics")?);
    let ready = Readiness::default();
    let stop = stop_signal()?;
    let mut leadership = None;
    let work = async {
        tokio::try_join!(
            http::serve(config.listen, Arc::clone(&metrics), ready.clone()),
            lead(&config, &metrics, &ready, &mut leadership).boxed()
        )
    };
    // What loses ends here, with all it had begun.
    let result = tokio::select! {
        result = work => result.map(drop),
        () = stop => {
            tracing::info!("asked to stop");
            Ok(())
        }
    };
    if let Some(leadership) = leadership {
        leadership.release().await;
    }
    result
}

async fn lead(
    config: &Config,
    metrics: &Arc<Metrics>,
    ready: &Readiness,
    leadership: &mut Option<Leadership>,
) -> anyhow::Result<()> {
    let client = Client::try_default().await.context("find the API server (KUBECONFIG or in-cluster)")?;
    reach("the API server", || client.apiserver_version()).await;
    let tls = config.tls().context("certificates for Redis")?;
    let redis = reach("Redis", || Redis::connect_with(&config.redis_url, tls.clone())).await;
    ready.reached();
    loop {
        let held = leadership.insert(leader::win(&client, config).await);
        metrics.leader.set(1);
        let (term, leads) = (held.term(), held.leads());
        let listings = Listings::default();
        ready.watch(&listings);
        let server = Server::new(client.clone(), leads, Arc::clone(metrics));
        tokio::select! {
            result = work(server, redis.clone(), config, tls.clone(), metrics, listings, term).boxed() => {
                return result;
            }
            () = held.lost() => anyhow::bail!("leadership lost"),
            () = out_of_reach(&redis) => {}
        }
        metrics.leader.set(0);
        ready.reached();
        tracing::error!("Redis is out of reach: another replica may lead, if it reaches it");
        if let Some(held) = leadership.take() {
            held.release().await;
        }
        tokio::time::sleep(STAND_BACK).await;
    }
}

/// Returns once Redis has not answered for [`AWAY`].
async fn out_of_reach(redis: &Redis) {
    let mut answered = Instant::now();
    while answered.elapsed() < AWAY {
        tokio::time::sleep(PING_EVERY).await;
        if redis.ping().await.is_ok() {
            answered = Instant::now();
        }
    }
}

/// Wires the stages together, and runs them until one ends.
async fn work(
    server: Server,
    redis: Redis,
    config: &Config,
    tls: Tls,
    metrics: &Arc<Metrics>,
    listings: Listings,
    term: u64,
) -> anyhow::Result<()> {
    let cluster = reach("the cluster's name", || cluster_uid(server.client.clone())).await;
    let (index, karpenter) = Index::new(listings);
    let (events, send_events) = executors::events::open(server.clone(), &config.identity);
    let (pods, change_pods) = executors::pods::open(server.clone());
    let (pools, write_pools) = executors::pools::open(server.clone());
    let (writer, write_jobs, written) = executors::jobs::open(server.clone());
    let (loader, load, found) = executors::loader::open(server.clone());
    let (answers, keepers) = mpsc::channel(ANSWERS);
    let (deposed, mut deposition) = mpsc::unbounded_channel();
    let handles = planner::Handles::default();
    let queue_access = config.queue_access(tls);
    let context = planner::Context {
        given: Given {
            worker_image: config.worker_image.clone().into(),
            queue: Arc::clone(&queue_access.shared),
        },
        queue_access,
        no_users: Arc::new(Once::new()),
        owner: cluster.into(),
        server: server.clone(),
        consumer: config.identity.clone(),
        index: index.clone(),
        redis,
        term,
        handles: handles.clone(),
        pods,
        pools,
        events: events.clone(),
        metrics: Arc::clone(metrics),
        answers,
        deposed,
        started: AtomicU64::default(),
    };
    let out = planner::jobs::Outbox { handles, loader, writer, events };
    let inbox = planner::jobs::Inbox { keepers, loader: found, writer: written };
    let jobs = planner::jobs::Jobs::new(index.clone(), out, Arc::clone(metrics));
    tokio::select! {
        () = index::watch::run(server.client.clone(), &index, karpenter, metrics).boxed() => {
            anyhow::bail!("the watches ended")
        }
        result = planner::run_pools(context).boxed() => result.context("pools"),
        () = jobs.run(inbox).boxed() => anyhow::bail!("the planner of jobs ended"),
        () = change_pods.boxed() => anyhow::bail!("the executor of Pods ended"),
        () = write_pools.boxed() => anyhow::bail!("the executor of pools ended"),
        () = write_jobs.boxed() => anyhow::bail!("the executor of jobs ended"),
        () = load.boxed() => anyhow::bail!("the loader ended"),
        () = send_events.boxed() => anyhow::bail!("the executor of Events ended"),
        Some(why) = deposition.recv() => anyhow::bail!("a newer leader is at work: {why}"),
    }
}

/// What the cluster is known by, as there is no other name for one: the uid of a namespace that every cluster has.
async fn cluster_uid(client: Client) -> anyhow::Result<String> {
    let namespace = Api::<Namespace>::all(client).get_metadata("kube-system").await?;
    namespace.uid().context("a namespace without a uid")
}

/// Tries until it works, saying what it waits for.
async fn reach<T, E, F>(what: &str, connect: impl Fn() -> F) -> T
where
    E: std::fmt::Display,
    F: Future<Output = Result<T, E>>,
{
    loop {
        match connect().await {
            Ok(reached) => return reached,
            Err(error) => tracing::warn!(%error, "waiting for {what}"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The value, even if a thread panicked while it held the lock: our maps are whole between two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
