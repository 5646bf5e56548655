use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use queue::{Queue, Redis, Tls};
use store::Store;
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    time::{Instant, sleep},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    backoff::Backoff,
    claiming,
    collect::Budget,
    comfyui::{Client, Engine, Mark},
    config::Config,
    drain,
    duty::{Duty, Now},
    engine_facts,
    health::{self, Health, Pages, Part},
    heartbeat,
    held::Held,
    inputs::{self, Inputs},
    metrics::Metrics,
    notice, orphans,
    worker::Worker,
};

const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// The engine takes back its inputs at once, as a rule; one that does not shall not hold up the end.
const CLEARED_WITHIN: Duration = Duration::from_secs(2);
/// What Kubernetes shows of the reason for which a container ended, bytes.
const LONGEST_REASON: usize = 2048;

/// Runs a worker until an order in the queue ends it, or `terminated` ends. Waits for whatever of
/// Redis, engine and bucket is not there yet, and says so in its heartbeats as soon as Redis is. The reason for which
/// it fails is also written to the termination log.
///
/// # Errors
/// When the configuration can't work, or the engine stays unhealthy.
pub async fn run(config: Config, terminated: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    let log = config.termination_log.clone();
    let ran = Box::pin(work(config, terminated)).await;
    if let Err(error) = &ran {
        note_reason(&log, error);
    }
    ran
}

/// Kubernetes makes the file; elsewhere there is none.
fn note_reason(log: &Path, error: &anyhow::Error) {
    let reason = crate::text::cut(&format!("{error:#}\n"), LONGEST_REASON);
    if log.exists()
        && let Err(error) = std::fs::write(log, reason)
    {
        tracing::warn!(%error, log = %log.display(), "can't write the reason for which this worker ends");
    }
}

async fn work(config: Config, terminated: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    let metrics = Metrics::new()?;
    let health = Arc::new(Health::new(&metrics));
    let id = config.worker();
    let mark = Mark { pool: config.pool.clone(), worker: id.0.clone() };
    let client = Client::new(config.engine.clone()).context("can't set up HTTP")?;
    let engine = Arc::new(Engine::new(client, mark));
    let duty = Duty::new();
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("can't listen on {}", config.listen))?;
    tracing::info!(address = %listener.local_addr()?, "serving health and metrics");
    let pages = Pages {
        health: health.clone(),
        engine: engine.clone(),
        duty: duty.clone(),
        metrics: metrics.clone(),
    };
    let serving = spawn(health::serve(listener, pages));
    let _connecting = spawn(keep_connected(engine.clone()));
    let (noticed, notice) = watch::channel(None);
    let _noticing =
        spawn(notice::follow(config.metadata, config.metadata_url.clone(), duty.clone(), noticed));
    let store = Store::open(&config.output()).await?;

    let working = async {
        let connected = tokio::select! {
            connected = connected(&config, &duty, &health.redis) => connected?,
            never = keep_trying(&store, &health) => match never {},
        };
        let Some(redis) = connected else { return Ok(()) };
        let inputs = Inputs::new(
            store.clone(),
            engine.clone(),
            inputs::Trust::default(),
            inputs::WITHIN,
            inputs::Keep::default(),
        );
        let worker = Arc::new(Worker {
            id,
            pool: config.pool.clone(),
            warm_model: config.warm_model(),
            capacity: config.capacity,
            queue: Queue::new(redis, &config.pool),
            store,
            engine,
            budget: Budget::new(config.output_budget_mib),
            inputs,
            held: Held::default(),
            duty: duty.clone(),
            notice,
            health: health.clone(),
            metrics,
            work: Notify::new(),
            order: Notify::new(),
        });
        let _beating = spawn(heartbeat::run(worker.clone()));
        let _listening = spawn(heartbeat::listen(worker.clone()));
        let _draining = spawn(drain::watch(duty.clone(), worker.held.clone()));
        let _clearing = spawn(orphans::watch(worker.clone()));
        let _telling = spawn(engine_facts::keep_told(worker.clone(), config.worker_template()));
        let tidied = worker.clone();
        let _tidying = spawn(async move { tidied.inputs.keep_tidy().await });
        let claimed = Box::pin(claiming::run(&worker)).await;
        // What is left there, the engine's next start clears.
        let _ = tokio::time::timeout(CLEARED_WITHIN, worker.inputs.clear()).await;
        claimed
    };
    let signal = async {
        terminated.await;
        duty.leave(Instant::now() + config.drain_grace(), "SIGTERM");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = working => done,
        served = serving => served?.context("can't serve health and metrics"),
        () = signal => Ok(()),
    }
}

/// A task that ends with whoever started it.
fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> AbortOnDropHandle<T> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

/// Shows how the bucket is while Redis is waited for.
async fn keep_trying(store: &Store, health: &Health) -> Infallible {
    loop {
        match store.probe().await {
            Ok(_) => health.output.works(),
            Err(error) => health.output_fails(&error),
        }
        sleep(BACKOFF.1).await;
    }
}

async fn keep_connected(engine: Arc<Engine>) {
    engine.keep_connected().await;
}

/// Redis, once it answers; `None` if the worker has to go before that.
async fn connected(config: &Config, duty: &Duty, part: &Part) -> anyhow::Result<Option<Redis>> {
    let tls = tls_of(config)?;
    let mut orders = duty.watch();
    tokio::select! {
        connected = reach(config, tls, part) => connected.map(Some),
        _ = orders.wait_for(|now| matches!(now, Now::Leave { .. })) => Ok(None),
    }
}

fn tls_of(config: &Config) -> anyhow::Result<Tls> {
    let [ca, cert, key] = config.redis_files();
    Tls::read(ca.as_deref(), cert.as_deref(), key.as_deref())
        .context("the files of REDIS_CA_FILE, REDIS_CERT_FILE and REDIS_KEY_FILE can't be used")
}

async fn reach(config: &Config, tls: Tls, part: &Part) -> anyhow::Result<Redis> {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    loop {
        match Redis::connect_with(config.redis_url.expose(), tls.clone()).await {
            Ok(redis) => {
                part.works();
                return Ok(redis);
            }
            Err(error @ queue::Error::Url(_)) => return Err(error).context("REDIS_URL can't be used"),
            Err(error) => part.fails(error),
        }
        backoff.wait().await;
    }
}
