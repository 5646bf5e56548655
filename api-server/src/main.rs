//! The API server's process: parse the command line, set up logging and TLS, run until asked to stop.

use std::process::ExitCode;

use api_server::{Cli, Command, LogFormat};
use clap::Parser as _;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command, config } = Cli::parse();
    init_logging(config.log_format);
    // Exactly one crypto provider in the process; both kube and redis then use it.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
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

fn init_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,kube=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
