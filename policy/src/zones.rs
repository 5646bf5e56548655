//! Where machines are to be had, and where new workers go.
use std::{collections::BTreeMap, time::Duration};

use crate::{
    Capacity, Fault, Health, Lack, Machine, Memory, Phase, Shortage, Template, Time, Worker, view::View,
};

/// The zones of both fleets and their shortages. A fleet that names no zones has one without a name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Zones {
    names: BTreeMap<Capacity, Vec<String>>,
    short: BTreeMap<Capacity, BTreeMap<String, Shortage>>,
    losses: BTreeMap<String, Time>,
    now: Time,
}

/// The avoidance of a zone doubles at most so often.
const DOUBLINGS: u32 = 4;
/// Workers are spread over zones that cost up to so many times what the cheapest costs: not to lose all at once is worth
/// that much.
const ALIKE: f64 = 1.05;
/// A worker is given this many times what a new machine usually takes before its zone is short.
const PATIENCE: f64 = 1.5;
/// … but no longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// A machine that was bought joins within this time, where it is not known what machines take here.
const JOINS_WITHIN: Duration = Duration::from_secs(10 * 60);
/// … and is given so long at least.
const JOINS_AT_BEST: Duration = Duration::from_secs(3 * 60);

impl Zones {
    /// What the workers that wait for machines, and those that got one, tell of the zones.
    pub(crate) fn learn(view: &View) -> Self {
        let mut short = view.memory.short.clone();
        for (capacity, zones) in &mut short {
            zones.retain(|zone, shortage| !has_ended(view, *capacity, zone, shortage));
        }
        let mut zones = Self { names: BTreeMap::new(), short, losses: losses(view), now: view.now };
        for capacity in Capacity::ALL {
            let named = view.fleet(capacity).map_or(&[][..], |fleet| &fleet.zones);
            let names = if named.is_empty() { vec![String::new()] } else { named.to_vec() };
            zones.names.insert(capacity, names);
            for worker in view.placed(capacity) {
                if let Some(lack) = lacks(view, worker) {
                    let said = worker.no_machine.clone();
                    zones.note(view, capacity, zone_of(view, worker), lack, said);
                }
            }
        }
        zones
    }

    /// No workers come up in a zone: a shortage begins, or goes on when the time it was given is over.
    pub(crate) fn note(
        &mut self,
        view: &View,
        capacity: Capacity,
        zone: &str,
        lack: Lack,
        said: Option<String>,
    ) {
        let shortages = self.short.entry(capacity).or_default();
        let known = shortages.get(zone);
        if known.is_some_and(|shortage| shortage.until > view.now) {
            return;
        }
        let before = known.map_or(0, |shortage| shortage.times);
        let avoided = view.policy.scaling.shortage_backoff * 2u32.pow(before.min(DOUBLINGS));
        let (since, until) = (view.now, view.now.plus(avoided));
        let shortage = Shortage { since, until, times: before.saturating_add(1), lack, said };
        shortages.insert(zone.to_owned(), shortage);
    }

    /// What to remember: shortages, and for a while after they ended how often they came; losses.
    pub(crate) fn remember(&self, view: &View, memory: &mut Memory) {
        let keep = view.policy.scaling.shortage_backoff * 2u32.pow(DOUBLINGS);
        memory.short = self.short.clone();
        for zones in memory.short.values_mut() {
            zones.retain(|_, shortage| self.now < shortage.until.plus(keep));
        }
        memory.short.retain(|_, zones| !zones.is_empty());
        memory.losses = self.losses.clone();
    }

    /// The zones that are short now.
    pub(crate) fn short(&self, capacity: Capacity) -> impl Iterator<Item = (&str, &Shortage)> {
        let zones = self.short.get(&capacity).into_iter().flatten();
        zones
            .filter(|(_, shortage)| shortage.until > self.now)
            .map(|(zone, shortage)| (zone.as_str(), shortage))
    }

    /// Whether machines may be had in some zone.
    pub(crate) fn any_open(&self, capacity: Capacity) -> bool {
        self.names.get(&capacity).into_iter().flatten().any(|zone| !self.is_short(capacity, zone))
    }

    /// Whether a new worker can be trusted to find a machine: not while some zone is short.
    pub(crate) fn trusted(&self, capacity: Capacity) -> bool {
        self.short(capacity).next().is_none()
    }

    /// A worker that waits for a machine where there are none.
    pub(crate) fn hopeless(&self, view: &View, worker: &Worker) -> bool {
        let waits = matches!(worker.phase, Phase::Unscheduled { .. });
        waits && self.is_short(worker.capacity, zone_of(view, worker)) && !joins_soon(view, worker)
    }

    /// Such a worker is replaced by one elsewhere, if there is an elsewhere. Where there is none it goes on
    /// waiting: that costs nothing, and shows when machines return.
    pub(crate) fn abandons(&self, view: &View, worker: &Worker) -> bool {
        let elsewhere = self.any_open(worker.capacity) && !view.policy.paused;
        elsewhere && worker.claims() && self.hopeless(view, worker)
    }

    /// A worker that is not up yet and goes, so another may come in its place.
    pub(crate) fn gives_up(&self, view: &View, worker: &Worker) -> bool {
        self.abandons(view, worker) || is_made_otherwise(view, worker)
    }

    /// Zones for `n` new workers: open ones before short ones, then those that lost none lately, then the cheapest and
    /// those that cost hardly more, then the one with the fewest workers.
    pub(crate) fn choose(&self, view: &View, capacity: Capacity, n: usize) -> Vec<Option<String>> {
        let Some(fleet) = view.fleet(capacity) else { return vec![None; n] };
        let lost = |zone: &str| capacity == Capacity::Spot && self.losses.contains_key(zone);
        let trouble = |zone: &str| (self.is_short(capacity, zone), lost(zone));
        let least = fleet.zones.iter().map(|zone| trouble(zone)).min();
        let best = fleet.zones.iter().filter(|zone| Some(trouble(zone)) == least);
        let cheap = best.map(|zone| fleet.price_in(zone)).min().unwrap_or_default();
        let mut there: BTreeMap<&str, usize> = BTreeMap::new();
        for worker in view.placed(capacity).filter(|worker| !self.gives_up(view, worker)) {
            *there.entry(zone_of(view, worker)).or_default() += 1;
        }
        (0..n)
            .map(|_| {
                let best = fleet.zones.iter().min_by_key(|zone| {
                    let dear =
                        (fleet.price_in(zone) as f64 > cheap as f64 * ALIKE).then(|| fleet.price_in(zone));
                    let there = there.get(zone.as_str()).copied().unwrap_or(0);
                    // Last, the one whose shortage lies furthest back.
                    let since = self.shortage(capacity, zone).map(|shortage| shortage.since);
                    (trouble(zone), dear, there, since)
                })?;
                *there.entry(best).or_default() += 1;
                Some(best.clone())
            })
            .collect()
    }

    fn is_short(&self, capacity: Capacity, zone: &str) -> bool {
        self.shortage(capacity, zone).is_some_and(|shortage| shortage.until > self.now)
    }

    fn shortage(&self, capacity: Capacity, zone: &str) -> Option<&Shortage> {
        self.short.get(&capacity)?.get(zone)
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
pub(crate) fn zone_of<'w>(view: &View, worker: &'w Worker) -> &'w str {
    let named = view.fleet(worker.capacity).is_some_and(|fleet| !fleet.zones.is_empty());
    worker.zone.as_deref().filter(|_| named).unwrap_or("")
}

/// One that is not up yet, and not made as the pool's spec says now.
pub(crate) fn is_made_otherwise(view: &View, worker: &Worker) -> bool {
    let waits = matches!(worker.phase, Phase::Unscheduled { .. });
    match worker.template {
        Template::Outdated => worker.is_coming(),
        Template::Moved => waits,
        Template::Current => waits && !is_in_a_zone_of_the_fleet(view, worker),
    }
}

fn is_in_a_zone_of_the_fleet(view: &View, worker: &Worker) -> bool {
    let zones = view.fleet(worker.capacity).map_or(&[][..], |fleet| &fleet.zones);
    zones.is_empty() || worker.zone.as_ref().is_none_or(|zone| zones.contains(zone))
}

/// What a worker's zone is found to lack, if it has waited in vain for long enough, or was told not to.
fn lacks(view: &View, worker: &Worker) -> Option<Lack> {
    let Phase::Unscheduled { machine } = worker.phase else { return None };
    match machine {
        Machine::Refused => Some(Lack::Machines),
        Machine::Launched { .. } => (!joins_soon(view, worker)).then_some(Lack::Joining),
        Machine::Unknown => (waits_until(view, worker) <= view.now).then_some(Lack::Machines),
    }
}

/// Until when a worker may wait for a machine before its zone is short.
pub(crate) fn waits_until(view: &View, worker: &Worker) -> Time {
    match worker.phase {
        Phase::Unscheduled { machine: Machine::Launched { at } } => {
            at.plus(usual_wait(view, worker.capacity).unwrap_or(JOINS_WITHIN).max(JOINS_AT_BEST))
        }
        _ => {
            let usual = usual_wait(view, worker.capacity).unwrap_or_default();
            worker.created.plus(view.policy.scaling.shortage_after.max(usual))
        }
    }
}

/// Whether a machine that was bought for a worker is still on its way.
fn joins_soon(view: &View, worker: &Worker) -> bool {
    worker.is_launched() && waits_until(view, worker) > view.now
}

/// What a new machine usually takes here, and half as much again.
fn usual_wait(view: &View, capacity: Capacity) -> Option<Duration> {
    let seconds = f64::from(view.memory.estimates.usual_wait(capacity)?);
    let longest = view.policy.scaling.shortage_after.max(LONGEST_WAIT);
    Some(Duration::try_from_secs_f64(seconds * PATIENCE).unwrap_or(longest).min(longest))
}

/// A worker that got what was lacking after the shortage began ends it.
fn has_ended(view: &View, capacity: Capacity, zone: &str, shortage: &Shortage) -> bool {
    view.placed(capacity).filter(|worker| zone_of(view, worker) == zone).any(|worker| match worker.phase {
        Phase::Unscheduled { machine: Machine::Launched { at } } => {
            shortage.lack == Lack::Machines && at > shortage.since && joins_soon(view, worker)
        }
        Phase::Unscheduled { .. } | Phase::Failed => false,
        Phase::Starting { scheduled } => shortage.lack != Lack::Workers && scheduled > shortage.since,
        Phase::Idle { .. } | Phase::Busy => {
            worker.created > shortage.since && !worker.blames(Fault::Machine) && !worker.blames(Fault::Worker)
        }
    })
}
