//! What is asked for on the command line.
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};

use crate::{
    arrivals::Workload,
    generator::Generator,
    report::write_figures,
    study,
    trace::{self, Prices},
    world::Pool,
};

/// Simulates scaling on recorded spot markets. Without arguments: the standard set.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    own: Own,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A zone with 16 workers vanishes without notice, again and again.
    ZoneKill {
        /// How often.
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
        trials: u64,
        /// Another seed, other trials.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Where zone_kill.json is written.
        #[arg(long, default_value = "target/sim")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Own {
    /// Arrivals, as CSV with the header time_s,tenant,class,model,exec_s. Without: made up.
    #[arg(long)]
    arrivals: Option<PathBuf>,
    /// Spot traces, one zone a file, and price traces; plain or gzipped JSON. Without, but with --arrivals: the recorded
    /// H100 market.
    #[arg(long, num_args = 1..)]
    spot: Vec<PathBuf>,
    /// USD per hour of a spot machine, for zones whose files don't tell.
    #[arg(long)]
    spot_price: Option<f64>,
    /// USD per hour of an on-demand machine, whatever the files tell.
    #[arg(long)]
    on_demand_price: Option<f64>,
    /// Made-up work: how many GPUs it keeps busy on average.
    #[arg(long, default_value_t = 10.0)]
    load: f64,
    /// The same seed gives the same output.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where figures and plots are written.
    #[arg(long, default_value = "target/sim")]
    out: PathBuf,
}

impl Arguments {
    /// Does what is asked for.
    ///
    /// # Errors
    /// When an input makes no sense, or a result can't be written.
    pub fn run(&self) -> Result<()> {
        match &self.command {
            Some(Command::ZoneKill { trials, seed, out }) => {
                let figures = study::zone_kill::trials(*trials, *seed).figures("faults.zone_kill_");
                for (key, value) in &figures {
                    study::print(&format!("{key:28} {value:.5}"));
                }
                write_figures(out, "zone_kill.json", &figures)
            }
            None if self.own.arrivals.is_none() && self.own.spot.is_empty() => {
                study::standard(self.own.seed, &self.own.out)
            }
            None => self.own.run(),
        }
    }
}

impl Own {
    fn run(&self) -> Result<()> {
        for price in [self.spot_price, self.on_demand_price].into_iter().flatten() {
            ensure!(price.is_finite() && price > 0.0, "a price is {price}: want more than 0");
        }
        ensure!(
            self.load > 0.0 && self.load <= 1000.0,
            "--load is {}: want more than 0, at most 1000",
            self.load
        );
        let market = if self.spot.is_empty() {
            study::recorded("h100")?
        } else {
            trace::read(&self.spot, Prices { spot: self.spot_price, on_demand: self.on_demand_price })?
        };
        let pool = Pool::standard().in_market(&market);
        let classes = &pool.policy.classes;
        let work = match &self.arrivals {
            Some(file) => Workload::read(file, classes, self.seed)?,
            None => {
                let span = market.span.as_millis() as f64 / 1000.0;
                Generator::standard(span, self.load).workload(classes, self.seed)
            }
        };
        study::own(&pool, &market, &work, self.seed, &self.out)
    }
}
