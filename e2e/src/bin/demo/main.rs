//! The demo: the whole system on this machine does its main job while a person watches.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "showing things is what this program is for")]

mod background;
mod engine;
mod front;
mod spot;
mod story;
mod table;
mod timeline;
mod work;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// Runs the whole system on this machine.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Clone, Copy)]
enum Command {
    /// Show the main job, then clean up (the default)
    Show,
    /// Replay hours of a recorded spot market in about a minute, then clean up
    Spot,
    /// Start the cluster and leave it running
    Up,
    /// Stop what `up` started
    Down,
    /// The process that `up` leaves running
    #[command(hide = true)]
    Serve,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter("error").with_writer(std::io::stderr).init();
    let command = Arguments::parse().command.unwrap_or(Command::Show);
    let work = async {
        match command {
            Command::Show => story::show().await,
            Command::Spot => spot::show().await,
            Command::Up => background::up().await,
            Command::Down => background::down().await,
            Command::Serve => background::serve().await,
        }
    };
    let result = tokio::select! {
        result = work => result,
        result = interrupted() => result,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns on Ctrl-C or SIGTERM, so that the program ends in order: everything that it started ends when its value is
/// dropped.
async fn interrupted() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    anyhow::bail!("stopped; everything that was started is being cleaned up")
}
