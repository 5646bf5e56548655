//! The API server's process: parse the command line, set up logging and TLS, run until asked to stop.

use std::process::ExitCode;

use api_server::{Cli, Command, LogFormat};
use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command, config } = Cli::parse();
    // Exactly one crypto provider in the process; kube, redis and the export of traces then use it.
    let is_first = rustls::crypto::ring::default_provider().install_default().is_ok();
    let json = config.log_format == LogFormat::Json;
    let setup = telemetry::Setup { program: "api-server", logged: "info,kube=warn", json, ansi: true };
    let _traces = telemetry::start(setup);
    if !is_first {
        tracing::debug!("a TLS provider was installed before ours");
    }
    let result = match command {
        None => api_server::serve(config).await,
        Some(Command::CreateKey(order)) => create_key(&config.namespace, &order).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the API server stops");
            ExitCode::FAILURE
        }
    }
}

async fn create_key(namespace: &str, order: &api_server::CreateKey) -> anyhow::Result<()> {
    let key = api_server::create_key(namespace, order).await?;
    #[allow(clippy::print_stdout, reason = "the answer of a command-line tool")]
    {
        println!("{key}");
    }
    Ok(())
}
