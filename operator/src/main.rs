//! The operator's process: parse the configuration, set up logging and TLS, run until asked to stop.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use operator::{Config, LogFormat};
use tokio::runtime;
use tracing_subscriber::EnvFilter;

/// A plan that is being worked out when the process ends is not waited for any longer.
const STOP_WITHIN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let config = Config::parse();
    init_logging(config.log_format);
    // Exactly one crypto provider in the process; both kube and redis then use it.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before ours");
    }
    let runtime = match runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the operator can't start its threads");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(operator::run(config));
    runtime.shutdown_timeout(STOP_WITHIN);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the operator stops");
            ExitCode::FAILURE
        }
    }
}

fn init_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,kube=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
