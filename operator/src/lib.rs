//! The operator: watches ImageJobs and WorkerPools, decides, acts.
//!
//! `docs/ARCHITECTURE.md` walks one job through these files.

// The futures of watches, controllers and the Redis client nest deeper than the default allows.
#![recursion_limit = "256"]

mod capacity;
mod config;
mod context;
mod controllers;
mod events;
#[cfg(test)]
mod fixtures;
mod garbage;
mod http;
mod imagejob;
mod leader;
mod metrics;
mod node;
mod patch;
mod prices;
mod results;
mod uids;
mod watch;
mod words;
mod workerpool;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use futures::FutureExt as _;
use kube::Client;
use queue::Redis;
use tokio::signal::unix::{SignalKind, signal};

pub use config::{Config, LogFormat};

use http::Readiness;
use leader::Leadership;
use metrics::Metrics;

/// Between two tries to reach what is not there yet.
const RETRY: Duration = Duration::from_secs(2);

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
    let result = tokio::select! {
        result = work => result.map(drop),
        () = stop => {
            tracing::info!("told to stop");
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
    let redis = reach("Redis", || Redis::connect(&config.redis_url)).await;
    ready.set();
    let leadership = leadership.insert(leader::win(&client, config).await);
    metrics.leader.set(1);
    tokio::select! {
        result = controllers::run(client, redis, config.clone(), Arc::clone(metrics)).boxed() => result,
        () = leadership.lost() => anyhow::bail!("leadership lost"),
    }
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
