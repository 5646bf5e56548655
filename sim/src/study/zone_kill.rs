//! A fleet of 16, all in one zone, and the zone vanishes without notice.
use std::{ops::Range, thread, time::Duration};

use policy::{Fleet, Time};

use crate::{
    contenders::Product,
    generator::Generator,
    market::Market,
    random::Random,
    report::Figures,
    world::{Outcome, Pool, Setup, World},
};

/// Workers that are hit.
const WORKERS: u32 = 16;
/// Work arrives for so long, seconds.
const SPAN: f64 = 1200.0;
/// The zone vanishes some time in here, seconds.
const STRIKE: Range<f64> = 400.0..1000.0;

/// What came of all trials together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Tally {
    trials: u64,
    images: usize,
    hit: u64,
    lost: usize,
    doubled: u64,
    stale: u64,
    redone: f64,
    spent: f64,
}

/// Runs so many trials, each with another seed.
pub(crate) fn trials(n: u64, seed: u64) -> Tally {
    let half = n / 2;
    let some =
        |range: Range<u64>| range.map(|i| trial(seed.wrapping_add(i))).fold(Tally::default(), Tally::and);
    thread::scope(|scope| {
        let others = scope.spawn(move || some(0..half));
        let mine = some(half..n);
        mine.and(others.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn trial(seed: u64) -> Tally {
    let market = Market::calm(&[("a", 32, 0.9), ("b", 32, 1.2)], 3.06, Time::from_millis(3_600_000));
    let mut pool = Pool::standard().in_market(&market);
    // All stand in the cheaper zone.
    pool.policy.spot = pool.policy.spot.map(|fleet| Fleet { min: WORKERS, ..fleet });
    let calm = Generator { swing: 0.0, between_bursts: f64::INFINITY, ..Generator::standard(SPAN, 12.0) };
    let work = calm.workload(&pool.policy.classes, seed);
    let at = Random::part(seed, 4).between(STRIKE.start, STRIKE.end);
    let strike = Some((0, Time::default().plus(Duration::from_secs_f64(at))));
    let setup = Setup { pool: &pool, market: &market, work: &work, seed, strike };
    Tally::of(&World::new(setup).run(&mut Product::new(&pool.policy, &market)), work.seconds())
}

impl Tally {
    fn of(outcome: &Outcome, work: f64) -> Self {
        Self {
            trials: 1,
            images: outcome.images(),
            hit: outcome.losses,
            lost: outcome.lost(),
            doubled: outcome.doubled,
            stale: outcome.stale,
            redone: outcome.redone_ms as f64 / 1000.0,
            spent: work,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            trials: self.trials + other.trials,
            images: self.images + other.images,
            hit: self.hit + other.hit,
            lost: self.lost + other.lost,
            doubled: self.doubled + other.doubled,
            stale: self.stale + other.stale,
            redone: self.redone + other.redone,
            spent: self.spent + other.spent,
        }
    }

    /// Shares of images and of GPU time.
    pub(crate) fn figures(&self, prefix: &str) -> Figures {
        let images = self.images.max(1) as f64;
        let figures = [
            ("trials", self.trials as f64),
            ("workers_hit", self.hit as f64 / self.trials.max(1) as f64),
            ("lost", self.lost as f64 / images),
            ("doubled", self.doubled as f64 / images),
            ("refused", self.stale as f64 / images),
            ("redone", self.redone / (self.redone + self.spent).max(1.0)),
        ];
        figures.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)).collect()
    }
}
