//! Knows which zones have machines, and chooses the zones of new workers.
use std::{collections::BTreeMap, time::Duration};

use crate::{
    Capacity, Fault, Health, Lack, Machine, Memory, Phase, Shortage, Template, Time, Worker, view::View,
};

/// The zones of both fleets and their shortages. A fleet that names no zones has one zone with an empty name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Zones {
    names: BTreeMap<Capacity, Vec<String>>,
    short: BTreeMap<Capacity, BTreeMap<String, Shortage>>,
    losses: BTreeMap<String, Time>,
    now: Time,
}

/// The time for which a zone is avoided doubles at most this many times.
const DOUBLINGS: u32 = 4;
/// Workers are spread over the zones that cost at most this many times what the cheapest costs. Losing only some of
/// them at once is worth that much.
const SIMILAR_PRICE: f64 = 1.05;
/// A zone is short if a worker waits this many times as long as a new machine usually takes, …
const PATIENCE: f64 = 1.5;
/// … but after this time at the latest.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// The time within which a bought machine joins the cluster, as long as no machine was seen to join.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// The shortest time that a bought machine is given to join the cluster.
const SHORTEST_JOIN_TIMEOUT: Duration = Duration::from_secs(3 * 60);

impl Zones {
    /// Finds shortages from the workers that wait for machines, and ends those in zones where workers got one.
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
            for worker in view.in_fleet(capacity) {
                if let Some(lack) = lack_of(view, worker) {
                    let message = worker.no_machine.clone();
                    zones.add_shortage(view, capacity, zone_of(view, worker), lack, message);
                }
            }
        }
        zones
    }

    /// Begins a shortage in a zone where workers do not come up, or repeats one whose time is over.
    pub(crate) fn add_shortage(
        &mut self,
        view: &View,
        capacity: Capacity,
        zone: &str,
        lack: Lack,
        message: Option<String>,
    ) {
        let shortages = self.short.entry(capacity).or_default();
        let known = shortages.get(zone);
        if known.is_some_and(|shortage| shortage.until > view.now) {
            return;
        }
        let before = known.map_or(0, |shortage| shortage.times);
        let avoided = view.policy.scaling.shortage_backoff * 2u32.pow(before.min(DOUBLINGS));
        let (since, until) = (view.now, view.now.plus(avoided));
        let shortage = Shortage { since, until, times: before.saturating_add(1), lack, message };
        shortages.insert(zone.to_owned(), shortage);
    }

    /// Saves the shortages and the lost workers to the memory. A shortage that has ended is kept for a while, so that
    /// the next one counts as repeated.
    pub(crate) fn save(&self, view: &View, memory: &mut Memory) {
        let keep = view.policy.scaling.shortage_backoff * 2u32.pow(DOUBLINGS);
        memory.short = self.short.clone();
        for zones in memory.short.values_mut() {
            zones.retain(|_, shortage| self.now < shortage.until.plus(keep));
        }
        memory.short.retain(|_, zones| !zones.is_empty());
        memory.losses = self.losses.clone();
    }

    /// The zones that are short now.
    pub(crate) fn shortages(&self, capacity: Capacity) -> impl Iterator<Item = (&str, &Shortage)> {
        let zones = self.short.get(&capacity).into_iter().flatten();
        zones
            .filter(|(_, shortage)| shortage.until > self.now)
            .map(|(zone, shortage)| (zone.as_str(), shortage))
    }

    /// Whether some zone is not short.
    pub(crate) fn any_open(&self, capacity: Capacity) -> bool {
        self.names.get(&capacity).into_iter().flatten().any(|zone| !self.is_short(capacity, zone))
    }

    /// Whether no zone is short, so that a new worker surely gets a machine.
    pub(crate) fn has_no_shortage(&self, capacity: Capacity) -> bool {
        self.shortages(capacity).next().is_none()
    }

    /// Whether a worker waits for a machine in a zone that has none.
    pub(crate) fn is_stuck(&self, view: &View, worker: &Worker) -> bool {
        let waits = matches!(worker.phase, Phase::Unscheduled { .. });
        waits && self.is_short(worker.capacity, zone_of(view, worker)) && !may_still_join(view, worker)
    }

    /// Whether a worker is stuck and another zone is open, so that it is replaced there. If no zone is open it goes on
    /// waiting: this costs nothing, and it shows when machines are available again.
    pub(crate) fn should_move(&self, view: &View, worker: &Worker) -> bool {
        let elsewhere = self.any_open(worker.capacity) && !view.policy.suspended;
        elsewhere && worker.claims() && self.is_stuck(view, worker)
    }

    /// Whether a worker that is not up yet is about to be replaced.
    pub(crate) fn is_replaced(&self, view: &View, worker: &Worker) -> bool {
        self.should_move(view, worker) || must_be_recreated(view, worker)
    }

    /// Chooses zones for `n` new workers, by this order: zones that are not short, zones that lost no worker lately,
    /// the cheapest zones (see [`SIMILAR_PRICE`]), zones with the fewest workers.
    pub(crate) fn choose(&self, view: &View, capacity: Capacity, n: usize) -> Vec<Option<String>> {
        let Some(fleet) = view.fleet(capacity) else { return vec![None; n] };
        let lost = |zone: &str| capacity == Capacity::Spot && self.losses.contains_key(zone);
        let rank = |zone: &str| (self.is_short(capacity, zone), lost(zone));
        let least = fleet.zones.iter().map(|zone| rank(zone)).min();
        let best = fleet.zones.iter().filter(|zone| Some(rank(zone)) == least);
        let cheap = best.map(|zone| fleet.price_in(zone)).min().unwrap_or_default();
        let mut workers: BTreeMap<&str, usize> = BTreeMap::new();
        for worker in view.in_fleet(capacity).filter(|worker| !self.is_replaced(view, worker)) {
            *workers.entry(zone_of(view, worker)).or_default() += 1;
        }
        (0..n)
            .map(|_| {
                let best = fleet.zones.iter().min_by_key(|zone| {
                    let price = (fleet.price_in(zone) as f64 > cheap as f64 * SIMILAR_PRICE)
                        .then(|| fleet.price_in(zone));
                    let workers = workers.get(zone.as_str()).copied().unwrap_or(0);
                    // At last, the zone whose shortage began first.
                    let since = self.shortage(capacity, zone).map(|shortage| shortage.since);
                    (rank(zone), price, workers, since)
                })?;
                *workers.entry(best).or_default() += 1;
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

/// The time at which each zone last lost a spot worker, as long as the zone is avoided for it.
fn losses(view: &View) -> BTreeMap<String, Time> {
    let mut losses = view.memory.losses.clone();
    losses.retain(|_, at| view.now.since(*at) < view.policy.scaling.shortage_backoff);
    let lost = |w: &&Worker| matches!(w.health, Health::Doomed { .. } | Health::Gone);
    for worker in view.workers.iter().filter(|w| w.capacity == Capacity::Spot).filter(lost) {
        losses.insert(zone_of(view, worker).to_owned(), view.now);
    }
    losses
}

/// The name of a worker's zone; empty if the fleet names no zones.
pub(crate) fn zone_of<'w>(view: &View, worker: &'w Worker) -> &'w str {
    let named = view.fleet(worker.capacity).is_some_and(|fleet| !fleet.zones.is_empty());
    worker.zone.as_deref().filter(|_| named).unwrap_or("")
}

/// Whether a worker is not up yet and is not made from the pool's present template.
pub(crate) fn must_be_recreated(view: &View, worker: &Worker) -> bool {
    let waits = matches!(worker.phase, Phase::Unscheduled { .. });
    match worker.template {
        Template::Outdated => worker.is_coming_up(),
        Template::Moved => waits,
        Template::Current => waits && !is_in_a_zone_of_the_fleet(view, worker),
    }
}

fn is_in_a_zone_of_the_fleet(view: &View, worker: &Worker) -> bool {
    let zones = view.fleet(worker.capacity).map_or(&[][..], |fleet| &fleet.zones);
    zones.is_empty() || worker.zone.as_ref().is_none_or(|zone| zones.contains(zone))
}

/// What a worker's zone lacks, if the worker has waited for too long or the autoscaler refused it a machine.
fn lack_of(view: &View, worker: &Worker) -> Option<Lack> {
    let Phase::Unscheduled { machine } = worker.phase else { return None };
    match machine {
        Machine::Refused => Some(Lack::Machines),
        Machine::Launched { .. } => (!may_still_join(view, worker)).then_some(Lack::Joining),
        Machine::Unknown => (wait_deadline(view, worker) <= view.now).then_some(Lack::Machines),
    }
}

/// The time until which a worker may wait for a machine before its zone is short.
pub(crate) fn wait_deadline(view: &View, worker: &Worker) -> Time {
    match worker.phase {
        Phase::Unscheduled { machine: Machine::Launched { at } } => {
            at.plus(usual_wait(view, worker.capacity).unwrap_or(JOIN_TIMEOUT).max(SHORTEST_JOIN_TIMEOUT))
        }
        _ => {
            let usual = usual_wait(view, worker.capacity).unwrap_or_default();
            worker.created.plus(view.policy.scaling.shortage_after.max(usual))
        }
    }
}

/// Whether a machine that was bought for a worker may still join the cluster.
fn may_still_join(view: &View, worker: &Worker) -> bool {
    worker.is_launched() && wait_deadline(view, worker) > view.now
}

/// The usual time to a new machine in this pool, times [`PATIENCE`]; `None` if no machine was seen yet.
fn usual_wait(view: &View, capacity: Capacity) -> Option<Duration> {
    let seconds = f64::from(view.memory.estimates.usual_wait(capacity)?);
    let longest = view.policy.scaling.shortage_after.max(LONGEST_WAIT);
    Some(Duration::try_from_secs_f64(seconds * PATIENCE).unwrap_or(longest).min(longest))
}

/// Whether a worker got what the zone lacks after the shortage began.
fn has_ended(view: &View, capacity: Capacity, zone: &str, shortage: &Shortage) -> bool {
    view.in_fleet(capacity).filter(|worker| zone_of(view, worker) == zone).any(|worker| match worker.phase {
        Phase::Unscheduled { machine: Machine::Launched { at } } => {
            shortage.lack == Lack::Machines && at > shortage.since && may_still_join(view, worker)
        }
        Phase::Unscheduled { .. } | Phase::Failed => false,
        Phase::Starting { scheduled } => shortage.lack != Lack::Workers && scheduled > shortage.since,
        Phase::Idle { .. } | Phase::Busy => {
            worker.created > shortage.since && !worker.blames(Fault::Machine) && !worker.blames(Fault::Worker)
        }
    })
}
