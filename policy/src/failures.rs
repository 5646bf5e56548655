//! Counts workers that do not come up, and limits further starts because of them.
use std::{collections::BTreeSet, time::Duration};

use crate::{
    Capacity, Failures, Fault, HoldReason, Lack, Memory, Order, Phase, Refused, Template, Time, Worker,
    WorkerId,
    view::View,
    zones::{Zones, zone_of},
};

/// From this many failures in a row on, workers are started one at a time.
const DOUBT_FROM: u32 = 3;
/// The shortest pause after a failure while workers are started one at a time.
const SHORTEST_PAUSE_IN_DOUBT: Duration = Duration::from_secs(10);
/// The pause after the first failure. It doubles with each further round of failures.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The pause doubles at most this many times, to 256 s.
const DOUBLINGS: u32 = 7;
/// A failure is forgotten after this time.
const FORGET_AFTER: Duration = Duration::from_secs(30 * 60);
/// The longest time that pulling an image may take, in addition to the time that the engine has to start.
const PULL_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// The longest time that a worker may report trouble before it is up.
const TROUBLE_TIMEOUT: Duration = Duration::from_secs(3 * 60);
/// The length at which stored messages are cut, in characters.
const LONGEST_MESSAGE: usize = 300;

/// The workers whose time to come up is over.
pub(crate) fn overdue(view: &View) -> BTreeSet<WorkerId> {
    let overdue =
        |worker: &&Worker| startup_deadline(view, worker).is_some_and(|deadline| deadline <= view.now);
    view.workers.iter().filter(overdue).map(|worker| worker.id.clone()).collect()
}

/// The workers with those that are overdue in [`Phase::Failed`].
pub(crate) fn mark_failed(view: &View, overdue: &BTreeSet<WorkerId>) -> Vec<Worker> {
    let mark = |worker: &Worker| match overdue.contains(&worker.id) {
        true => Worker { phase: Phase::Failed, ..worker.clone() },
        false => worker.clone(),
    };
    view.workers.iter().map(mark).collect()
}

/// The time by which a worker must be up; `None` if it has no deadline. The deadline is the later of the longest
/// start-up seen so far and the time that image pull and engine start may take. A worker that reports trouble has less
/// time. A worker that blames the pool has no deadline, since another one would come up no sooner.
pub(crate) fn startup_deadline(view: &View, worker: &Worker) -> Option<Time> {
    let Phase::Starting { scheduled } = worker.phase else { return None };
    let last_up = view.memory.last_up.get(&worker.id).copied().unwrap_or_default();
    let scheduled = scheduled.max(last_up);
    let seconds = view.memory.estimates.start_seconds_at_most(worker.capacity).unwrap_or_default();
    let usual = worker.created.max(last_up).plus(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    match worker.trouble.as_ref().map(|trouble| trouble.fault) {
        Some(Fault::Pool) => None,
        Some(Fault::Worker | Fault::Machine) => Some(usual.max(scheduled.plus(TROUBLE_TIMEOUT))),
        None => Some(usual.max(scheduled.plus(view.policy.scaling.engine_start + PULL_TIMEOUT))),
    }
}

/// Counts the workers that failed or came up since the last plan.
pub(crate) fn learn(
    view: &View,
    overdue: &BTreeSet<WorkerId>,
    refused: &[Refused],
    zones: &mut Zones,
    memory: &mut Memory,
) {
    let failed: Vec<&Worker> = view.workers.iter().filter(|worker| has_failed(view, worker)).collect();
    for worker in failed.iter().filter(|worker| !memory.failed.contains(&worker.id)) {
        let why = worker.trouble_message().unwrap_or("it was not ready in time and reports no reason");
        let known = memory.failures.entry(worker.capacity).or_default();
        known.add(view.now, worker.created, 1, why);
        // A worker that fails at once may have met one bad machine. A worker that is overdue says more about its zone.
        let never_up = worker.phase == Phase::Failed;
        if never_up && (known.workers >= DOUBT_FROM || overdue.contains(&worker.id)) {
            zones.add_shortage(view, worker.capacity, zone_of(view, worker), Lack::Workers, Some(cut(why)));
        }
    }
    for Refused { capacity, zone: _, workers: _, at, why } in refused {
        // No worker exists that might come up, and no machine is paid for, so only the next starts are delayed.
        memory.failures.entry(*capacity).or_default().add(view.now, *at, 0, why);
    }
    memory.failed = failed.iter().map(|worker| worker.id.clone()).collect();
    for (capacity, known) in &mut memory.failures {
        let up = |w: &&Worker| w.capacity == *capacity && w.is_up() && w.trouble.is_none();
        if view.workers.iter().filter(up).any(|worker| worker.created >= known.since) {
            known.workers = 0;
            known.until = known.until.min(view.now);
        }
    }
    memory.failures.retain(|_, known| view.now.since(known.last) < FORGET_AFTER);
}

/// Whether a worker did not come up, or is up and can't work.
fn has_failed(view: &View, worker: &Worker) -> bool {
    let stays = matches!(worker.order, Order::Work | Order::Hold);
    let by_trouble = || worker.is_up() && (worker.blames(Fault::Worker) || worker.blames(Fault::Machine));
    let rolled_out = view.memory.held.get(&worker.id) == Some(&HoldReason::Outdated);
    stays && !rolled_out && (worker.phase == Phase::Failed || by_trouble())
}

impl Failures {
    fn add(&mut self, now: Time, created: Time, workers: u32, why: &str) {
        // Workers that were created together fail together: they count as one round.
        let new_round = self.rounds == 0 || created > self.last;
        if self.workers == 0 || created < self.since {
            self.since = created;
        }
        self.workers = self.workers.saturating_add(workers);
        self.rounds = self.rounds.saturating_add(u32::from(new_round));
        let doublings = self.rounds.saturating_sub(1).min(DOUBLINGS);
        let pause = FIRST_PAUSE * 2u32.pow(doublings);
        let pause = if self.workers >= DOUBT_FROM { pause.max(SHORTEST_PAUSE_IN_DOUBT) } else { pause };
        (self.last, self.until) = (now, now.plus(pause));
        self.why = cut(why);
    }
}

fn cut(words: &str) -> String {
    words.chars().take(LONGEST_MESSAGE).collect()
}

/// How many workers of a capacity may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// As many workers as are needed.
    Open,
    /// One worker at a time, because the last ones did not come up.
    OneAtATime,
    /// No worker before this time.
    ClosedUntil(Time),
    /// No worker, because something that all workers need is broken.
    Closed,
}

impl Gate {
    pub(crate) fn of(view: &View, capacity: Capacity) -> Self {
        if pool_at_fault(view).is_some() {
            return Self::Closed;
        }
        let known = view.memory.failures.get(&capacity);
        let in_trouble = view.coming_up(capacity).any(|worker| worker.trouble.is_some());
        match known {
            Some(known) if known.until > view.now => Self::ClosedUntil(known.until),
            Some(known) if known.workers >= DOUBT_FROM => Self::OneAtATime,
            _ if in_trouble => Self::OneAtATime,
            _ => Self::Open,
        }
    }

    /// The number of workers that may be started now, as far as failures are concerned.
    pub(crate) fn room(self, view: &View, zones: &Zones, capacity: Capacity) -> usize {
        let coming = view.coming_up(capacity).filter(|worker| !zones.is_replaced(view, worker));
        match self {
            Self::Open => usize::MAX,
            Self::OneAtATime => 1usize.saturating_sub(coming.count()),
            Self::ClosedUntil(_) | Self::Closed => 0,
        }
    }

    /// Whether the plan may count on workers that it starts.
    pub(crate) fn is_trusted(self, view: &View, capacity: Capacity) -> bool {
        let doubted = view.memory.failures.get(&capacity).is_some_and(|known| known.workers >= DOUBT_FROM);
        !doubted && matches!(self, Self::Open | Self::ClosedUntil(_))
    }
}

/// The message of a worker that blames the pool, if more workers blame the pool than work. A worker that blames the
/// pool while most others work is at fault itself. One that is made from an older template does not count: it blames what
/// the pool was, and the owner may just have corrected that.
pub(crate) fn pool_at_fault<'a>(view: &View<'a>) -> Option<&'a str> {
    let members = || view.workers.iter().filter(|worker| worker.is_in_fleet());
    let is_current = |worker: &&Worker| worker.template != Template::Outdated;
    let blaming = || members().filter(is_current).filter(|worker| worker.blames(Fault::Pool));
    let working = members().filter(|worker| worker.is_up() && worker.trouble.is_none()).count();
    (blaming().count() > working).then(|| blaming().next()?.trouble_message()).flatten()
}
