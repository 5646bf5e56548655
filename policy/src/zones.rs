//! Where spot machines are to be had, and where new workers go.
use std::collections::BTreeMap;

use crate::{Capacity, Health, Memory, Phase, Shortage, Time, Worker, view::View};

/// The zones of the spot fleet and their shortages. A pool that names no zones has one without a name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Zones {
    names: Vec<String>,
    shortages: BTreeMap<String, Shortage>,
    losses: BTreeMap<String, Time>,
    now: Time,
}

/// The avoidance of a zone doubles at most so often.
const DOUBLINGS: u32 = 4;
/// Workers are spread over zones that cost up to so many times what the cheapest costs: not to lose all at once is worth
/// that much.
const ALIKE: f64 = 1.05;

impl Zones {
    /// What the workers that wait for machines, and those that got one, tell of the zones.
    pub(crate) fn learn(view: &View) -> Self {
        let mut shortages = view.memory.shortages.clone();
        shortages.retain(|zone, shortage| !recovered(view, zone, shortage));
        for worker in view.workers.iter().filter(|worker| waits_too_long(view, worker)) {
            note(view, &mut shortages, zone_of(view, worker));
        }
        let named = view.fleet(Capacity::Spot).map_or(&[][..], |fleet| &fleet.zones);
        let names = if named.is_empty() { vec![String::new()] } else { named.to_vec() };
        Self { names, shortages, losses: losses(view), now: view.now }
    }

    /// What to remember: shortages, and for a while after they ended how often they came; losses.
    pub(crate) fn remember(&self, view: &View, memory: &mut Memory) {
        let keep = view.policy.scaling.shortage_backoff * 2u32.pow(DOUBLINGS);
        memory.shortages = self.shortages.clone();
        memory.shortages.retain(|_, shortage| self.now < shortage.until.plus(keep));
        memory.losses = self.losses.clone();
    }

    /// The zones without spot machines.
    pub(crate) fn short(&self) -> Vec<String> {
        self.shortages.keys().filter(|zone| self.is_short(zone)).cloned().collect()
    }

    /// Whether spot machines may be had in some zone.
    pub(crate) fn any_open(&self) -> bool {
        self.names.iter().any(|zone| !self.is_short(zone))
    }

    /// Whether a new worker can be trusted to find a machine: not while some zone is short.
    pub(crate) fn trusted(&self) -> bool {
        !self.shortages.keys().any(|zone| self.is_short(zone))
    }

    /// A spot worker that waits for a machine where there are none.
    pub(crate) fn hopeless(&self, view: &View, worker: &Worker) -> bool {
        worker.capacity == Capacity::Spot
            && worker.phase == Phase::Unscheduled
            && self.is_short(zone_of(view, worker))
    }

    /// Such a worker is replaced by one elsewhere, if there is an elsewhere. Where there is none it goes on
    /// waiting: that costs nothing, and shows when machines return.
    pub(crate) fn abandons(&self, view: &View, worker: &Worker) -> bool {
        worker.claims() && self.hopeless(view, worker) && self.any_open() && !view.policy.paused
    }

    /// Zones for `n` new workers: open ones before short ones, then those that lost none lately, then the cheapest and
    /// those that cost hardly more, then the one with the fewest workers.
    pub(crate) fn choose(&self, view: &View, capacity: Capacity, n: usize) -> Vec<Option<String>> {
        let Some(fleet) = view.fleet(capacity) else { return vec![None; n] };
        let spot = capacity == Capacity::Spot;
        let trouble = |zone: &str| (spot && self.is_short(zone), spot && self.losses.contains_key(zone));
        let least = fleet.zones.iter().map(|zone| trouble(zone)).min();
        let best = fleet.zones.iter().filter(|zone| Some(trouble(zone)) == least);
        let cheap = best.map(|zone| fleet.price_in(zone)).min().unwrap_or_default();
        let mut there: BTreeMap<&str, usize> = BTreeMap::new();
        for worker in view.placed(capacity).filter(|worker| !self.abandons(view, worker)) {
            *there.entry(zone_of(view, worker)).or_default() += 1;
        }
        (0..n)
            .map(|_| {
                let best = fleet.zones.iter().min_by_key(|zone| {
                    let dear =
                        (fleet.price_in(zone) as f64 > cheap as f64 * ALIKE).then(|| fleet.price_in(zone));
                    let there = there.get(zone.as_str()).copied().unwrap_or(0);
                    // Last, the one whose shortage lies furthest back.
                    let since = self.shortages.get(*zone).map(|shortage| shortage.since);
                    (trouble(zone), dear, there, since)
                })?;
                *there.entry(best).or_default() += 1;
                Some(best.clone())
            })
            .collect()
    }

    fn is_short(&self, zone: &str) -> bool {
        self.shortages.get(zone).is_some_and(|shortage| shortage.until > self.now)
    }
}

/// When each zone last lost a spot worker, for as long as a zone is avoided for it.
fn losses(view: &View) -> BTreeMap<String, Time> {
    let mut losses = view.memory.losses.clone();
    losses.retain(|_, at| view.now.since(*at) < view.policy.scaling.shortage_backoff);
    let lost = |w: &&Worker| matches!(w.health, Health::Doomed { .. } | Health::Gone);
    for worker in view.workers.iter().filter(|w| w.capacity == Capacity::Spot).filter(lost) {
        losses.insert(zone_of(view, worker).to_owned(), view.now);
    }
    losses
}

/// Where a fleet names no zones, that of a worker's node does not matter.
fn zone_of<'w>(view: &View, worker: &'w Worker) -> &'w str {
    let named = view.fleet(worker.capacity).is_some_and(|fleet| !fleet.zones.is_empty());
    worker.zone.as_deref().filter(|_| named).unwrap_or("")
}

fn waits_too_long(view: &View, worker: &Worker) -> bool {
    worker.capacity == Capacity::Spot
        && worker.phase == Phase::Unscheduled
        && worker.takes_a_place()
        && view.now.since(worker.created) >= view.policy.scaling.spot_shortage_after
}

/// A worker that got its machine after the shortage began ends it.
fn recovered(view: &View, zone: &str, shortage: &Shortage) -> bool {
    view.placed(Capacity::Spot).filter(|worker| zone_of(view, worker) == zone).any(|worker| {
        match worker.phase {
            Phase::Unscheduled => false,
            Phase::Starting { scheduled } => scheduled > shortage.since,
            Phase::Idle { .. } | Phase::Busy => worker.created > shortage.since,
        }
    })
}

/// A shortage begins, or goes on when the time it was given is over.
fn note(view: &View, shortages: &mut BTreeMap<String, Shortage>, zone: &str) {
    let known = shortages.get(zone).copied();
    if known.is_some_and(|shortage| shortage.until > view.now) {
        return;
    }
    let before = known.map_or(0, |shortage| shortage.times);
    let avoided = view.policy.scaling.shortage_backoff * 2u32.pow(before.min(DOUBLINGS));
    shortages.insert(
        zone.to_owned(),
        Shortage { since: view.now, until: view.now.plus(avoided), times: before.saturating_add(1) },
    );
}
