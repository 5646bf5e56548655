use std::sync::{Arc, Mutex, PoisonError};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use tokio::net::TcpListener;

use crate::{
    comfyui::{self, Engine},
    duty::{Duty, Now},
    metrics::Metrics,
};

/// How the parts are that we depend on.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) redis: Part,
    pub(crate) output: Part,
}

/// One part we depend on, well or in trouble. Says so in the log when that changes, and only then.
#[derive(Debug)]
pub(crate) struct Part {
    name: &'static str,
    metrics: Metrics,
    trouble: Mutex<Option<String>>,
}

impl Health {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self { redis: Part::new("redis", metrics), output: Part::new("output", metrics) }
    }
}

impl Part {
    fn new(name: &'static str, metrics: &Metrics) -> Self {
        metrics.part(name, false);
        Self { name, metrics: metrics.clone(), trouble: Mutex::new(Some("not reached yet".into())) }
    }

    pub(crate) fn well(&self) {
        if self.lock().take().is_some() {
            tracing::info!("{} works", self.name);
            self.metrics.part(self.name, true);
        }
    }

    pub(crate) fn ill(&self, why: impl std::fmt::Display) {
        let why = why.to_string();
        let mut trouble = self.lock();
        if trouble.as_ref() != Some(&why) {
            tracing::warn!(why, "waiting for {}", self.name);
            self.metrics.part(self.name, false);
            *trouble = Some(why);
        }
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the HTTP endpoints tell.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) health: Arc<Health>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) duty: Duty,
    pub(crate) metrics: Metrics,
}

/// Serves `/healthz` (this process runs), `/readyz` (it can take tasks), `/enginez` (the engine is there and works; for
/// its container's liveness probe, which has to be patient with an engine that is starting) and `/metrics`, for ever.
pub(crate) async fn serve(listener: TcpListener, told: Told) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/enginez", get(engine))
        .route("/metrics", get(metrics))
        .with_state(told);
    axum::serve(listener, routes).await
}

async fn ready(State(told): State<Told>) -> (StatusCode, String) {
    let engine = match &*told.engine.state().borrow() {
        comfyui::State::Up(_) => None,
        comfyui::State::Down { why } | comfyui::State::Broken { why } => Some(why.clone()),
    };
    told.metrics.part("engine", engine.is_none());
    let leaving = match told.duty.now() {
        Now::Work => None,
        other => Some(format!("{other:?}")),
    };
    let troubles = [
        ("engine", engine),
        ("redis", told.health.redis.trouble()),
        ("output", told.health.output.trouble()),
        ("orders", leaving),
    ];
    let lines: String =
        troubles.iter().filter_map(|(part, why)| Some(format!("{part}: {}\n", why.as_ref()?))).collect();
    if lines.is_empty() {
        (StatusCode::OK, "ready\n".into())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, lines)
    }
}

async fn engine(State(told): State<Told>) -> (StatusCode, String) {
    match &*told.engine.state().borrow() {
        comfyui::State::Up(_) => (StatusCode::OK, "ok\n".into()),
        comfyui::State::Down { why } | comfyui::State::Broken { why } => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"))
        }
    }
}

async fn metrics(State(told): State<Told>) -> (StatusCode, String) {
    let up = matches!(&*told.engine.state().borrow(), comfyui::State::Up(_));
    told.metrics.part("engine", up);
    match told.metrics.text() {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
