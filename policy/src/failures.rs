//! Workers that do not come up, and what that means for further starts.
use std::{collections::BTreeSet, time::Duration};

use crate::{
    Capacity, Failures, Fault, Held, Lack, Memory, Order, Phase, Refused, Time, Worker, WorkerId,
    view::View,
    zones::{Zones, zone_of},
};

/// From the third failure in a row on workers are started one at a time, …
const IN_DOUBT: u32 = 3;
/// … and no sooner after the last failure than this.
const AT_LEAST: Duration = Duration::from_secs(10);
/// After the first failure the next start waits this long; twice as long after each round that follows.
const FIRST: Duration = Duration::from_secs(2);
/// It doubles at most so often: to 256 s.
const DOUBLINGS: u32 = 7;
/// Failures that lie so far back count no more.
const REMEMBERED: Duration = Duration::from_secs(30 * 60);
/// An image may take this long to be pulled, besides the time that the engine is given to start.
const PULL: Duration = Duration::from_secs(5 * 60);
/// A worker that says why it doesn't come up is given this long.
const IN_TROUBLE: Duration = Duration::from_secs(3 * 60);
/// Words that are remembered are cut here, characters.
const MOST_WORDS: usize = 300;

/// Workers that are not up though they should be.
pub(crate) fn overdue(view: &View) -> BTreeSet<WorkerId> {
    let overdue = |worker: &&Worker| up_by(view, worker).is_some_and(|deadline| deadline <= view.now);
    view.workers.iter().filter(overdue).map(|worker| worker.id.clone()).collect()
}

/// The workers as they are known: those that are overdue have failed.
pub(crate) fn have_failed(view: &View, overdue: &BTreeSet<WorkerId>) -> Vec<Worker> {
    let know = |worker: &Worker| match overdue.contains(&worker.id) {
        true => Worker { phase: Phase::Failed, ..worker.clone() },
        false => worker.clone(),
    };
    view.workers.iter().map(know).collect()
}

/// When a worker should be up at the latest: hardly any takes longer, nor may the engine's start and the pull of its
/// image. One that says what is wrong is given less; one that blames the pool is no worse than another would be.
pub(crate) fn up_by(view: &View, worker: &Worker) -> Option<Time> {
    let Phase::Starting { scheduled } = worker.phase else { return None };
    let last_up = view.memory.last_up.get(&worker.id).copied().unwrap_or_default();
    let scheduled = scheduled.max(last_up);
    let seconds = view.memory.estimates.start_seconds_at_most(worker.capacity).unwrap_or_default();
    let usual = worker.created.max(last_up).plus(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    match worker.trouble.as_ref().map(|trouble| trouble.fault) {
        Some(Fault::Pool) => None,
        Some(Fault::Worker | Fault::Machine) => Some(usual.max(scheduled.plus(IN_TROUBLE))),
        None => Some(usual.max(scheduled.plus(view.policy.scaling.engine_start + PULL))),
    }
}

/// Counts who failed since the last plan, and who came up.
pub(crate) fn learn(
    view: &View,
    overdue: &BTreeSet<WorkerId>,
    refused: &[Refused],
    zones: &mut Zones,
    memory: &mut Memory,
) {
    let failed: Vec<&Worker> = view.workers.iter().filter(|worker| has_failed(view, worker)).collect();
    for worker in failed.iter().filter(|worker| !memory.failed.contains(&worker.id)) {
        let why = worker.complaint().unwrap_or("it was not ready in time, and nobody says why");
        let known = memory.failures.entry(worker.capacity).or_default();
        known.note(view.now, worker.created, 1, why);
        // What ends at once may have met one bad machine. One that waited in vain says more.
        let never_up = worker.phase == Phase::Failed;
        if never_up && (known.workers >= IN_DOUBT || overdue.contains(&worker.id)) {
            zones.note(view, worker.capacity, zone_of(view, worker), Lack::Workers, Some(cut(why)));
        }
    }
    for Refused { capacity, zone: _, workers: _, at, why } in refused {
        // None exists that might come up, and none is paid for: the next ones only wait.
        memory.failures.entry(*capacity).or_default().note(view.now, *at, 0, why);
    }
    memory.failed = failed.iter().map(|worker| worker.id.clone()).collect();
    for (capacity, known) in &mut memory.failures {
        let up = |w: &&Worker| w.capacity == *capacity && w.is_up() && w.trouble.is_none();
        if view.workers.iter().filter(up).any(|worker| worker.created >= known.since) {
            known.workers = 0;
            known.until = known.until.min(view.now);
        }
    }
    memory.failures.retain(|_, known| view.now.since(known.last) < REMEMBERED);
}

/// Whether a worker did not come up, or is up and can't work.
fn has_failed(view: &View, worker: &Worker) -> bool {
    let ours = matches!(worker.order, Order::Work | Order::Hold);
    let by_trouble = || worker.is_up() && (worker.blames(Fault::Worker) || worker.blames(Fault::Machine));
    let rolled_out = view.memory.held.get(&worker.id) == Some(&Held::Outdated);
    ours && !rolled_out && (worker.phase == Phase::Failed || by_trouble())
}

impl Failures {
    fn note(&mut self, now: Time, created: Time, workers: u32, why: &str) {
        // Those that were created together fail together: that is one round.
        let new_round = self.rounds == 0 || created > self.last;
        if self.workers == 0 || created < self.since {
            self.since = created;
        }
        self.workers = self.workers.saturating_add(workers);
        self.rounds = self.rounds.saturating_add(u32::from(new_round));
        let doublings = self.rounds.saturating_sub(1).min(DOUBLINGS);
        let rest = FIRST * 2u32.pow(doublings);
        let rest = if self.workers >= IN_DOUBT { rest.max(AT_LEAST) } else { rest };
        (self.last, self.until) = (now, now.plus(rest));
        self.why = cut(why);
    }
}

fn cut(words: &str) -> String {
    words.chars().take(MOST_WORDS).collect()
}

/// How many workers of a capacity may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// As many as are wanted.
    Open,
    /// One at a time: the last ones did not come up.
    OneAtATime,
    /// None before then.
    ClosedUntil(Time),
    /// None: what all workers need is broken.
    Closed,
}

impl Gate {
    pub(crate) fn of(view: &View, capacity: Capacity) -> Self {
        if pool_at_fault(view).is_some() {
            return Self::Closed;
        }
        let known = view.memory.failures.get(&capacity);
        let in_trouble = view.coming(capacity).any(|worker| worker.trouble.is_some());
        match known {
            Some(known) if known.until > view.now => Self::ClosedUntil(known.until),
            Some(known) if known.workers >= IN_DOUBT => Self::OneAtATime,
            _ if in_trouble => Self::OneAtATime,
            _ => Self::Open,
        }
    }

    /// How many more may be started now, as far as failures go.
    pub(crate) fn room(self, view: &View, zones: &Zones, capacity: Capacity) -> usize {
        let coming = view.coming(capacity).filter(|worker| !zones.gives_up(view, worker));
        match self {
            Self::Open => usize::MAX,
            Self::OneAtATime => 1usize.saturating_sub(coming.count()),
            Self::ClosedUntil(_) | Self::Closed => 0,
        }
    }

    /// Whether work may count on workers that are started.
    pub(crate) fn is_trusted(self, view: &View, capacity: Capacity) -> bool {
        let doubted = view.memory.failures.get(&capacity).is_some_and(|known| known.workers >= IN_DOUBT);
        !doubted && matches!(self, Self::Open | Self::ClosedUntil(_))
    }
}

/// What is broken for all workers, in the words of one of them, if more of those that speak say so than are well. One
/// that blames the pool while others work is itself at fault.
pub(crate) fn pool_at_fault<'a>(view: &View<'a>) -> Option<&'a str> {
    let there = || view.workers.iter().filter(|worker| worker.takes_a_place());
    let blaming = || there().filter(|worker| worker.blames(Fault::Pool));
    let well = there().filter(|worker| worker.is_up() && worker.trouble.is_none()).count();
    (blaming().count() > well).then(|| blaming().next()?.complaint()).flatten()
}
