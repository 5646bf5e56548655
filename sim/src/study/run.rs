//! All contenders on one market with the same work.
use std::fmt::Write as _;

use anyhow::Result;
use policy::Capacity;

use crate::{
    bound::lower_bound,
    contenders::{Fixed, Greedy, Keda, Product, Scaler},
    plot,
    world::{Outcome, Setup, World, feasible},
};

/// What came of one contender's run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    /// Who.
    pub(crate) name: &'static str,
    /// What came of it.
    pub(crate) outcome: Outcome,
    /// The share of feasible images that were in time.
    pub(crate) in_time: f64,
}

/// What came of all runs on one market.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    /// The policy's run.
    pub(crate) product: Run,
    /// KEDA with one task per worker, and with five.
    pub(crate) keda: [Run; 2],
    /// Greedy spot.
    pub(crate) greedy: Run,
    /// A static fleet, large enough for the peak.
    pub(crate) fixed: Run,
    /// What nobody can stay below.
    pub(crate) bound: f64,
}

/// Runs one contender.
pub(crate) fn run(setup: Setup, name: &'static str, scaler: &mut dyn Scaler) -> Run {
    let outcome = World::new(setup).run(scaler);
    let counts: Vec<bool> = setup.work.tasks.iter().map(|task| feasible(&setup, task)).collect();
    let in_time = outcome.in_time(&setup, |i, _| counts[i]);
    Run { name, outcome, in_time }
}

/// Runs all contenders.
pub(crate) fn compare(setup: Setup) -> Comparison {
    let policy = &setup.pool.policy;
    Comparison {
        product: run(setup, "this policy", &mut Product::new(policy, setup.market)),
        keda: [
            run(setup, "KEDA, 1 per worker", &mut Keda::new(1, policy)),
            run(setup, "KEDA, 5 per worker", &mut Keda::new(5, policy)),
        ],
        greedy: run(setup, "greedy spot", &mut Greedy::new(policy, setup.market)),
        fixed: run(setup, "static, for the peak", &mut Fixed::at_peak(setup.work, policy)),
        bound: lower_bound(&setup),
    }
}

impl Comparison {
    /// All runs.
    pub(crate) fn runs(&self) -> [&Run; 5] {
        [&self.product, &self.keda[0], &self.keda[1], &self.greedy, &self.fixed]
    }

    /// The cheapest KEDA that is in time as often as the policy; else the one that is most often.
    pub(crate) fn keda_at_equal_sla(&self) -> &Run {
        let equal = self.keda.iter().filter(|run| run.in_time >= self.product.in_time.min(0.999));
        let cheapest = equal.min_by(|a, b| a.outcome.cost().total_cmp(&b.outcome.cost()));
        cheapest.unwrap_or(&self.keda[0])
    }

    /// The share of another's dollars that the policy saves.
    pub(crate) fn saving_against(&self, other: &Run) -> f64 {
        1.0 - self.product.outcome.cost() / other.outcome.cost()
    }

    /// The share of KEDA's dollars that the policy saves, at equal SLA.
    pub(crate) fn saving(&self) -> f64 {
        self.saving_against(self.keda_at_equal_sla())
    }

    /// The share that the lower bound would save.
    pub(crate) fn greatest_saving(&self) -> f64 {
        1.0 - self.bound / self.keda_at_equal_sla().outcome.cost()
    }

    /// A line per contender.
    pub(crate) fn table(&self, market: &str) -> String {
        let images = self.product.outcome.images() as f64;
        let mut table = format!(
            "{market:22} {:>10} {:>8} {:>10} {:>10} {:>8} {:>8} {:>8} {:>8} {:>8}\n",
            "cost", "/ bound", "spot h", "demand h", "in SLA", "switches", "redone", "starts", "lost"
        );
        for Run { name, outcome, in_time } in self.runs() {
            let _ = writeln!(
                table,
                "{name:22} {:>10.2} {:>8.3} {:>10.1} {:>10.1} {:>7.3}% {:>8.4} {:>7.3}% {:>8} {:>8}",
                outcome.cost(),
                outcome.cost() / self.bound,
                outcome.hours_of(Capacity::Spot),
                outcome.hours_of(Capacity::OnDemand),
                100.0 * in_time,
                outcome.switches as f64 / images,
                100.0 * outcome.redone_share(),
                outcome.starts,
                outcome.lost(),
            );
        }
        let _ = writeln!(table, "{:22} {:>10.2} {:>8.3}", "lower bound", self.bound, 1.0);
        table
    }

    /// What each costs.
    pub(crate) fn bars(&self, market: &str) -> String {
        let mut bars: Vec<(String, f64)> = vec![("lower bound".into(), 1.0)];
        bars.extend(self.runs().map(|run| (run.name.to_owned(), run.outcome.cost() / self.bound)));
        plot::bars(&format!("Cost on the market {market}, as a multiple of the lower bound"), &bars)
    }
}

/// Fleet and load over some hours, from and to.
pub(crate) fn fleet(setup: &Setup, outcome: &Outcome, title: &str, (from, to): (f64, f64)) -> String {
    const SLOT: f64 = 300.0;
    let hours = |at: policy::Time| at.as_millis() as f64 / 3.6e6;
    let moments = || outcome.moments.iter().filter(|m| (from..to).contains(&hours(m.at)));
    let mut load: Vec<(f64, f64)> = Vec::new();
    for task in setup.work.tasks.iter().filter(|task| (from..to).contains(&hours(task.at))) {
        let slot = (hours(task.at) * 3600.0 / SLOT).floor() * SLOT / 3600.0;
        let work = task.exec as f64 / 1000.0 / SLOT;
        match load.last_mut().filter(|(at, _)| *at >= slot) {
            Some((_, sum)) => *sum += work,
            None => load.push((slot, work)),
        }
    }
    let line = |name, colour, filled, points| plot::Line { name, colour, filled, points };
    let lines = [
        line("GPUs' worth of work", "#888888", true, load),
        line("spot", "#2a7f3f", false, moments().map(|m| (hours(m.at), m.spot as f64)).collect()),
        line("on demand", "#c04030", false, moments().map(|m| (hours(m.at), m.on_demand as f64)).collect()),
    ];
    plot::lines(title, "hours", &lines)
}

/// Where files are written.
///
/// # Errors
/// When they can't be.
pub(crate) fn write_plots(
    comparison: &Comparison,
    setup: &Setup,
    market: &str,
    folder: &std::path::Path,
) -> Result<()> {
    crate::report::write(folder, &format!("cost-{market}.svg"), &comparison.bars(market))?;
    let end = comparison.product.outcome.end.as_millis() as f64 / 3.6e6;
    let from = if end > 72.0 { 24.0 } else { 0.0 };
    let title = format!("The policy's fleet on the market {market}");
    let svg = fleet(setup, &comparison.product.outcome, &title, (from, (from + 48.0).min(end)));
    crate::report::write(folder, &format!("fleet-{market}.svg"), &svg)
}
