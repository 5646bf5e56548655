use std::{sync::Arc, time::Duration};

use anyhow::Context;
use queue::{Queue, Redis};
use store::Store;
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    backoff::Backoff,
    claiming,
    comfyui::{Client, Engine, State},
    config::Config,
    drain,
    duty::{Duty, Now},
    health::{self, Health, Part, Told},
    heartbeat,
    held::Held,
    metrics::Metrics,
    notice,
    worker::{Deaths, Worker},
};

const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Runs a worker until it is told to go: by an order in the queue, or because `terminated` ends. Waits for
/// whatever of Redis, engine and bucket is not there yet.
///
/// # Errors
/// When the configuration can't work, or the engine stays broken.
pub async fn run(config: Config, terminated: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    let metrics = Metrics::new()?;
    let health = Arc::new(Health::new(&metrics));
    let engine = Arc::new(Engine::new(Client::new(config.engine.clone()).context("can't set up HTTP")?));
    let duty = Duty::new();
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("can't listen on {}", config.listen))?;
    tracing::info!(address = %listener.local_addr()?, "serving health and metrics");
    let told =
        Told { health: health.clone(), engine: engine.clone(), duty: duty.clone(), metrics: metrics.clone() };
    let serving = spawn(health::serve(listener, told));
    let _connecting = spawn(keep_connected(engine.clone()));
    let (said, heard) = watch::channel(None);
    let _noticing = spawn(notice::follow(config.metadata, config.metadata_url.clone(), duty.clone(), said));

    let working = async {
        let Some(worker) = Box::pin(prepare(&config, engine, duty.clone(), heard, health, metrics)).await?
        else {
            return Ok(());
        };
        let _beating = spawn(heartbeat::run(worker.clone()));
        let _listening = spawn(heartbeat::listen(worker.clone()));
        let _draining = spawn(drain::watch(duty.clone(), worker.held.clone()));
        Box::pin(claiming::run(&worker)).await
    };
    let signal = async {
        terminated.await;
        duty.leave(Instant::now() + config.drain_grace(), "told to terminate");
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

async fn keep_connected(engine: Arc<Engine>) {
    engine.keep_connected().await;
}

/// Waits for all a worker needs; `None` if it has to go before it has begun.
async fn prepare(
    config: &Config,
    engine: Arc<Engine>,
    duty: Duty,
    notice: watch::Receiver<Option<notice::Notice>>,
    health: Arc<Health>,
    metrics: Metrics,
) -> anyhow::Result<Option<Arc<Worker>>> {
    let store = Store::open(&config.output()).await?;
    let mut orders = duty.watch();
    let (redis, (), ()) = tokio::select! {
        reached = async {
            tokio::join!(
                reach_redis(config, &health.redis),
                reach_output(&store, &health.output),
                reach_engine(&engine),
            )
        } => reached,
        _ = orders.wait_for(|now| matches!(now, Now::Leave { .. })) => return Ok(None),
    };
    let worker = Worker {
        id: config.worker(),
        classes: config.classes.clone(),
        warm_model: config.warm_model(),
        capacity: config.capacity,
        queue: Queue::new(redis?, &config.pool),
        store,
        engine,
        held: Held::default(),
        duty,
        notice,
        health,
        metrics,
        deaths: Deaths::default(),
        work: Notify::new(),
        order: Notify::new(),
    };
    tracing::info!(worker = %worker.id, pool = config.pool, classes = ?worker.classes, "ready for work");
    Ok(Some(Arc::new(worker)))
}

async fn reach_redis(config: &Config, part: &Part) -> queue::Result<Redis> {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    loop {
        match Redis::connect(&config.redis_url).await {
            Ok(redis) => {
                part.well();
                return Ok(redis);
            }
            Err(error @ queue::Error::Url(_)) => return Err(error),
            Err(error) => part.ill(error),
        }
        backoff.wait().await;
    }
}

async fn reach_output(store: &Store, part: &Part) {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    loop {
        match store.check().await {
            Ok(()) => return part.well(),
            Err(error) => part.ill(error),
        }
        backoff.wait().await;
    }
}

async fn reach_engine(engine: &Engine) {
    let mut state = engine.state();
    if !matches!(&*state.borrow(), State::Up(_)) {
        tracing::info!(engine = %engine.client().base(), "waiting for the engine");
    }
    // The engine outlives us, so its state is never closed.
    let _ = state.wait_for(|state| matches!(state, State::Up(_))).await;
}
