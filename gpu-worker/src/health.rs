//! The state of the worker and of what it depends on: heartbeats report it to the operator, HTTP pages to everybody else.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use queue::{Reason, Trouble, WorkerState};
use tokio::{net::TcpListener, time::Instant};

use crate::{
    breaker::Breaker,
    comfyui::{self, Engine},
    duty::{Duty, Now},
    ending::of_the_bucket,
    metrics::Metrics,
    text::cut,
};

/// An engine that is not there is no trouble worth a machine for so long: it may be restarting, and its container is
/// restarted after two minutes.
const ENGINE_PATIENCE: Duration = Duration::from_secs(180);
/// At the worker's own start; in a Pod the engine is up before the worker is.
const ENGINE_START_PATIENCE: Duration = Duration::from_secs(30);
/// What a heartbeat may say, bytes.
const MESSAGE: usize = 1024;

/// How the parts are that a worker depends on, and the worker itself.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) redis: Part,
    pub(crate) output: Part,
    /// The engine's.
    pub(crate) disk: Part,
    pub(crate) breaker: Breaker,
    state: Mutex<Life>,
}

#[derive(Debug)]
struct Life {
    state: WorkerState,
    /// Since when the engine is down, or since the start.
    engine_down_since: Option<Instant>,
}

/// One part we depend on. Says so in the log when it begins or ceases to work, and only then.
#[derive(Debug)]
pub(crate) struct Part {
    name: &'static str,
    metrics: Metrics,
    condition: Mutex<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Untried,
    Works,
    Fails(Failure),
}

/// Why a part does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    /// What heartbeats report; none for Redis, over which they go.
    reason: Option<Reason>,
    why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Some(reason) => write!(f, "{reason}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

impl Health {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            redis: Part::new("redis", metrics, Condition::Untried),
            output: Part::new("output", metrics, Condition::Untried),
            disk: Part::new("disk", metrics, Condition::Works),
            breaker: Breaker::default(),
            state: Mutex::new(Life { state: WorkerState::Starting, engine_down_since: Some(Instant::now()) }),
        }
    }

    /// Everything works that is needed to take tasks; from now on it counts as started.
    pub(crate) fn started(&self) {
        self.life().state = WorkerState::Ready;
    }

    pub(crate) fn state(&self) -> WorkerState {
        self.life().state
    }

    /// The bucket does not take pictures.
    pub(crate) fn output_fails(&self, error: &store::Error) {
        self.output.fails_for(of_the_bucket(error), error);
    }

    /// Why no tasks are taken, as the operator has to know it: the worst first.
    pub(crate) fn trouble(&self, engine: &comfyui::State) -> Option<Trouble> {
        let trouble = |reason, message: String| Trouble { reason, message: cut(&message, MESSAGE) };
        let by_breaker = || Some(trouble(Reason::WorkerUnhealthy, self.breaker.why()?));
        let by_engine = || {
            let reason = self.engine_trouble(engine)?;
            Some(trouble(reason, format!("the engine: {}", engine.trouble()?)))
        };
        let by_part = |part: &Part, name: &str| {
            let Failure { reason, why } = part.failure()?;
            Some(trouble(reason?, format!("{name}: {why}")))
        };
        by_breaker()
            .or_else(|| by_part(&self.disk, "the engine's disk"))
            .or_else(by_engine)
            .or_else(|| by_part(&self.output, "the output"))
    }

    fn engine_trouble(&self, engine: &comfyui::State) -> Option<Reason> {
        let mut life = self.life();
        let patience = match life.state {
            WorkerState::Starting => ENGINE_START_PATIENCE,
            WorkerState::Ready => ENGINE_PATIENCE,
        };
        match engine {
            comfyui::State::Up(_) => {
                life.engine_down_since = None;
                None
            }
            comfyui::State::Unsupported { .. } => Some(Reason::EngineTooOld),
            comfyui::State::Down { .. } | comfyui::State::Unhealthy { .. } => {
                let since = *life.engine_down_since.get_or_insert_with(Instant::now);
                let is_down = matches!(engine, comfyui::State::Down { .. });
                let reason = if is_down { Reason::EngineDown } else { Reason::EngineUnhealthy };
                (since.elapsed() >= patience).then_some(reason)
            }
        }
    }

    fn life(&self) -> std::sync::MutexGuard<'_, Life> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn new(name: &'static str, metrics: &Metrics, condition: Condition) -> Self {
        metrics.part(name, condition == Condition::Works);
        Self { name, metrics: metrics.clone(), condition: Mutex::new(condition) }
    }

    pub(crate) fn works(&self) {
        if self.becomes(Condition::Works) {
            tracing::info!("{} works", self.name);
            self.metrics.part(self.name, true);
        }
    }

    pub(crate) fn fails(&self, why: impl fmt::Display) {
        self.fail(Failure { reason: None, why: why.to_string() });
    }

    /// Likewise, and its owner can do something about it.
    pub(crate) fn fails_for(&self, reason: Reason, why: impl fmt::Display) {
        self.fail(Failure { reason: Some(reason), why: why.to_string() });
    }

    fn fail(&self, failure: Failure) {
        let why = failure.to_string();
        if self.becomes(Condition::Fails(failure)) {
            tracing::warn!(why, "waiting for {}", self.name);
            self.metrics.part(self.name, false);
        }
    }

    /// Why it can't be used now.
    pub(crate) fn trouble(&self) -> Option<String> {
        match &*self.lock() {
            Condition::Untried => Some("not reached yet".to_owned()),
            Condition::Works => None,
            Condition::Fails(failure) => Some(failure.to_string()),
        }
    }

    /// The same, once it was tried.
    fn failure(&self) -> Option<Failure> {
        match &*self.lock() {
            Condition::Untried | Condition::Works => None,
            Condition::Fails(failure) => Some(failure.clone()),
        }
    }

    fn becomes(&self, next: Condition) -> bool {
        let mut condition = self.lock();
        let is_news = *condition != next;
        *condition = next;
        is_news
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Condition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the HTTP pages are made from.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    pub(crate) health: Arc<Health>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) duty: Duty,
    pub(crate) metrics: Metrics,
}

/// Serves `/healthz` (this process runs), `/readyz` (it can take tasks), `/enginez` (the engine is there and works; for
/// its container's liveness probe, which has to be patient with an engine that is starting) and `/metrics`, for ever.
pub(crate) async fn serve(listener: TcpListener, pages: Pages) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/enginez", get(engine))
        .route("/metrics", get(metrics))
        .with_state(pages);
    axum::serve(listener, routes).await
}

async fn ready(State(pages): State<Pages>) -> (StatusCode, String) {
    let engine = pages.engine.state().borrow().trouble().map(str::to_owned);
    pages.metrics.part("engine", engine.is_none());
    let orders = match pages.duty.now() {
        Now::Work => None,
        other => Some(format!("{other:?}")),
    };
    let health = &pages.health;
    let troubles = [
        ("worker", health.breaker.why()),
        ("engine", engine),
        ("disk", health.disk.trouble()),
        ("redis", health.redis.trouble()),
        ("output", health.output.trouble()),
        ("orders", orders),
    ];
    let lines: String =
        troubles.iter().filter_map(|(part, why)| Some(format!("{part}: {}\n", why.as_ref()?))).collect();
    if lines.is_empty() {
        (StatusCode::OK, "ready\n".into())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, lines)
    }
}

/// A restart helps against an engine that is down or unhealthy; not against one that is too old.
async fn engine(State(pages): State<Pages>) -> (StatusCode, String) {
    match &*pages.engine.state().borrow() {
        comfyui::State::Up(_) => (StatusCode::OK, "ok\n".into()),
        comfyui::State::Unsupported { why } => (StatusCode::OK, format!("{why}\n")),
        comfyui::State::Down { why } | comfyui::State::Unhealthy { why } => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"))
        }
    }
}

async fn metrics(State(pages): State<Pages>) -> (StatusCode, String) {
    let up = matches!(&*pages.engine.state().borrow(), comfyui::State::Up(_));
    pages.metrics.part("engine", up);
    match pages.metrics.text() {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
