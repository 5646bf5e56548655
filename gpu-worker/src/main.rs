//! Takes image tasks from a queue, has ComfyUI generate them, and uploads the pictures.

use std::io::IsTerminal;

use clap::Parser;
use gpu_worker::{Config, LogFormat};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The AWS SDK tells at length of each source that has no credentials; what matters of it is in our own errors.
const LOGGED: &str = "info,aws_config=error";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    log_as(config.log_format);
    // More than one crate uses rustls; it panics unless the process says which cryptography it means.
    let _ = rustls::crypto::ring::default_provider().install_default();
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

fn log_as(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let terminal = std::io::stderr().is_terminal();
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal);
    match format {
        LogFormat::Json => lines.json().init(),
        LogFormat::Text => lines.init(),
    }
}
