//! Takes image tasks from a queue, has ComfyUI generate them, and uploads the pictures.

use std::io::IsTerminal;

use clap::Parser;
use gpu_worker::{Config, LogFormat};
use tokio::signal::unix::{SignalKind, signal};

/// The AWS SDK tells at length of each source that has no credentials; what matters of it is in our own errors.
const LOGGED: &str = "info,aws_config=error";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    // More than one crate uses rustls; it panics unless the process says which cryptography it means.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let json = config.log_format == LogFormat::Json;
    let ansi = std::io::stderr().is_terminal();
    let setup = telemetry::Setup { program: "gpu-worker", logged: LOGGED, json, ansi };
    let _traces = telemetry::start(setup);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let terminated = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    gpu_worker::run(config, terminated).await?;
    tracing::info!("bye");
    Ok(())
}
