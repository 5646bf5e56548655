//! The simulation, from the command line.
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match sim::cli::Arguments::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[allow(clippy::print_stderr)]
            {
                eprintln!("sim: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
