//! Others' data: their arrivals, their spot market, or one of the two.
use std::path::Path;

use anyhow::Result;

use super::run::{compare, write_plots};
use crate::{
    arrivals::Workload,
    market::Market,
    report::{Figures, write_figures},
    world::{Pool, Setup},
};

/// Compares all contenders, prints the table, and writes figures and plots into a folder.
///
/// # Errors
/// When the results can't be written.
pub(crate) fn own(pool: &Pool, market: &Market, work: &Workload, seed: u64, folder: &Path) -> Result<()> {
    let setup = Setup { pool, market, work, seed, strike: None };
    let comparison = compare(setup);
    super::print(&comparison.table("contender"));
    write_plots(&comparison, &setup, "own", folder)?;
    let product = &comparison.product;
    let figures = Figures::from([
        ("sim.saving".into(), comparison.saving()),
        ("sim.vs_optimum".into(), product.outcome.cost() / comparison.bound),
        ("sim.in_sla".into(), product.in_time),
        ("sim.gpu_hours_vs_keda1".into(), product.outcome.hours() / comparison.keda[0].outcome.hours()),
        ("sim.switches_per_image".into(), product.outcome.switches as f64 / product.outcome.images() as f64),
        ("sim.vs_greedy".into(), product.outcome.cost() / comparison.greedy.outcome.cost()),
    ]);
    write_figures(folder, "own.json", &figures)
}
