//! The operator's process: parse the configuration, set up logging and TLS, run until asked to stop.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use operator::{Config, LogFormat};
use tokio::runtime;

/// A plan that is being worked out when the process ends is not waited for any longer.
const STOP_WITHIN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let config = Config::parse();
    // Exactly one crypto provider in the process; kube, redis and the export of traces then use it.
    let is_first = rustls::crypto::ring::default_provider().install_default().is_ok();
    let json = config.log_format == LogFormat::Json;
    let setup = telemetry::Setup { program: "operator", logged: "info,kube=warn", json, ansi: true };
    let _traces = telemetry::start(setup);
    if !is_first {
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
