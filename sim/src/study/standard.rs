//! The standard set: the recorded markets, a burst, and zones that vanish.
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, Result};
use policy::Time;

use super::{
    run::{Comparison, compare, run, write_plots},
    zone_kill,
};
use crate::{
    contenders::Product,
    generator::Generator,
    market::Market,
    report::{Figures, table, write_figures},
    trace,
    world::{Pool, Setup},
};

/// GPUs that would be busy all the time with the standard work.
const LOAD: f64 = 10.0;
/// So much of each recording is played, seconds: seven days.
const SPAN: f64 = 7.0 * 86_400.0;
/// A burst: eight times the load for ten minutes.
const BURST: (f64, f64, f64) = (3600.0, 600.0, 8.0);
/// Trials with a zone that vanishes.
const TRIALS: u64 = 200;

/// Runs everything, prints the tables, and writes figures and plots into a folder.
///
/// # Errors
/// When the traces can't be read or the results can't be written.
pub(crate) fn standard(seed: u64, folder: &Path) -> Result<()> {
    let mut figures = Figures::new();
    let mut comparisons = Vec::new();
    for (name, result) in side_by_side(["h100", "v100"], |name| on_market(name, seed, folder)) {
        let comparison = result?;
        super::print(&comparison.table(name));
        figures.extend(of_market(name, &comparison));
        comparisons.push(comparison);
    }
    figures.extend(of_all(&comparisons));
    figures.insert("sim.burst8x_in_sla".into(), burst(seed));
    figures.extend(zone_kill::trials(TRIALS, seed).figures("sim.zone_kill_"));
    super::print(&table(&figures));
    write_figures(folder, "summary.json", &figures)
}

/// The same for several, at once; in their order.
fn side_by_side<T: Send>(
    names: [&'static str; 2],
    run: impl Fn(&'static str) -> T + Sync,
) -> Vec<(&'static str, T)> {
    thread::scope(|scope| {
        let run = &run;
        let threads = names.map(|name| (name, scope.spawn(move || run(name))));
        let join = |(name, thread): (&'static str, thread::ScopedJoinHandle<'_, T>)| {
            (name, thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        };
        threads.into_iter().map(join).collect()
    })
}

fn on_market(name: &str, seed: u64, folder: &Path) -> Result<Comparison> {
    let market = recorded(name)?;
    let pool = Pool::standard().in_market(&market);
    let span = market.span.as_millis() as f64 / 1000.0;
    let work = Generator::standard(span.min(SPAN), LOAD).workload(&pool.policy.classes, seed);
    let setup = Setup { pool: &pool, market: &market, work: &work, seed, strike: None };
    let comparison = compare(setup);
    write_plots(&comparison, &setup, name, folder)?;
    Ok(comparison)
}

/// A market of `traces/`.
pub(crate) fn recorded(name: &str) -> Result<Market> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces").join(name);
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in [folder.clone(), folder.join("prices")].iter().filter(|folder| folder.is_dir()) {
        let entries = fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))?;
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()));
    }
    files.sort();
    trace::read(&files, trace::Prices::default())
}

fn of_market(name: &str, comparison: &Comparison) -> Figures {
    let Comparison { product, .. } = comparison;
    Figures::from([
        (format!("sim.saving_{name}"), comparison.saving()),
        (format!("sim.saving_{name}_vs_keda1"), comparison.saving_against(&comparison.keda[0])),
        (format!("sim.saving_{name}_of_bound"), comparison.greatest_saving()),
        (format!("sim.vs_optimum_{name}"), product.outcome.cost() / comparison.bound),
        (format!("sim.in_sla_{name}"), product.in_time),
    ])
}

/// What holds for all markets: the worst of each.
fn of_all(comparisons: &[Comparison]) -> Figures {
    let worst = |figure: &dyn Fn(&Comparison) -> f64| comparisons.iter().map(figure).fold(0.0, f64::max);
    let images = |c: &Comparison| c.product.outcome.images() as f64;
    let vs_greedy = worst(&|c| c.product.outcome.cost() / c.greedy.outcome.cost());
    Figures::from([
        ("sim.gpu_hours_vs_keda1".into(), worst(&|c| c.product.outcome.hours() / c.keda[0].outcome.hours())),
        ("sim.switches_per_image".into(), worst(&|c| c.product.outcome.switches as f64 / images(c))),
        ("sim.vs_greedy".into(), vs_greedy),
        ("sim.never_dearer_than_greedy".into(), f64::from(u8::from(vs_greedy <= 1.0))),
        ("sim.eta_error_p90".into(), worst(&|c| percentile(&c.product.outcome.estimate_errors(), 0.9))),
        ("sim.eta_error_p50".into(), worst(&|c| percentile(&c.product.outcome.estimate_errors(), 0.5))),
    ])
}

/// Of sorted values; 0 of none.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    // `as` cuts off.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// The share in time of what arrives from the burst's beginning to ten minutes after it; all of it is admitted.
fn burst(seed: u64) -> f64 {
    let zones = [("a", 32, 0.9), ("b", 32, 0.9), ("c", 32, 0.9)];
    let market = Market::calm(&zones, 3.06, Time::from_millis(7_200_000));
    let pool = Pool::standard().in_market(&market);
    let generator = Generator {
        swing: 0.0,
        between_bursts: f64::INFINITY,
        burst: Some(BURST),
        ..Generator::standard(7200.0, 4.0)
    };
    let work = generator.workload(&pool.policy.classes, seed);
    let setup = Setup { pool: &pool, market: &market, work: &work, seed, strike: None };
    let run = run(setup, "burst", &mut Product::new(&pool.policy, &market));
    let (from, length, _) = BURST;
    let during = from..from + length + 600.0;
    run.outcome.in_time(&setup, |_, task| during.contains(&(task.at.as_millis() as f64 / 1000.0)))
}
