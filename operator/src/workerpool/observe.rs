//! What is seen of a pool: its queue, and its workers with their machines. Pure.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use crds::{Capacity, WorkerPool};
use jiff::Timestamp;
use kube::ResourceExt as _;
use policy::{Health, Order, Phase, Seen, Time, Worker};
use queue::{Stats, WorkerSeen, WorkerState};

use super::{ledger::Machine, pod, template::Template};
use crate::{
    capacity,
    index::{Start, Unplaced, WorkerRecord},
    node::{self, Sign, time},
};

/// A worker that missed so many heartbeats (one every 3 s) is not counted as ready.
const SILENT: Duration = Duration::from_secs(12);
/// One silent for this long is given up and replaced; its leases, of 10 s, ended before.
const LOST: Duration = Duration::from_secs(15);

/// A pool at one moment.
pub(crate) struct Observed {
    pub(crate) seen: Seen,
    pub(crate) stats: Option<Stats>,
    /// Each worker that has a Pod, or will have one in a moment.
    pub(crate) workers: HashMap<String, WorkerRecord>,
    /// Why workers do not come up, if any container says so.
    pub(crate) trouble: Option<String>,
    /// What it says of one that no machine would do for.
    pub(crate) impossible: Option<String>,
    /// Who says that a worker's machine is at risk, doomed or gone; for people.
    pub(crate) causes: HashMap<policy::WorkerId, &'static str>,
}

/// What is looked at.
pub(crate) struct Sights<'a> {
    pub(crate) pool: &'a WorkerPool,
    pub(crate) workers: Vec<WorkerRecord>,
    /// `None`: the queue can't be read.
    pub(crate) stats: Option<Stats>,
    /// For how long the queue could be read without a gap.
    pub(crate) readable_for: Duration,
    /// Jobs that the queue does not show yet.
    pub(crate) coming: Vec<policy::Backlog>,
    /// Pods that the API server refused since the last plan.
    pub(crate) refused: Vec<policy::Refused>,
    /// What a worker was told that the queue does not show yet.
    pub(crate) told: &'a dyn Fn(&str) -> Option<Order>,
    pub(crate) template: &'a Template,
    pub(crate) now: Timestamp,
}

impl Observed {
    /// The workers that have a machine, and since when. The Pod of one that is gone may stay for minutes.
    pub(crate) fn machines(&self, now: Timestamp) -> Vec<Machine> {
        let workers = self.seen.workers.iter().filter(|worker| worker.health != Health::Gone);
        let records = workers.filter_map(|worker| self.workers.get(&worker.id.0));
        let machine = |record: &WorkerRecord| Machine {
            worker: record.name.clone(),
            capacity: record.capacity,
            since: record.scheduled.unwrap_or(now),
        };
        records.filter(|record| record.node.is_some()).map(machine).collect()
    }

    /// In brackets, to follow what is said of a worker's machine: who says so.
    pub(crate) fn cause(&self, worker: &policy::WorkerId) -> String {
        self.causes.get(worker).map_or_else(String::new, |cause| format!(" ({cause})"))
    }
}

/// The clocks that silence is told by.
#[derive(Clone, Copy)]
struct Clock {
    now: Timestamp,
    /// When the queue was read, ms since the Unix epoch, and for how long it could be read without a gap.
    queue: Option<(u64, Duration)>,
}

impl Clock {
    /// For how long we should have heard from a worker and did not. While Redis is away nobody is heard, and
    /// when it is back the living need a moment to say so: that is no sign of death.
    fn silent(&self, seen: &WorkerSeen) -> Option<Duration> {
        let (read_ms, readable_for) = self.queue?;
        Some(Duration::from_millis(read_ms.saturating_sub(seen.seen_ms)).min(readable_for))
    }
}

/// Puts together what is seen.
pub(crate) fn observe(sights: Sights<'_>) -> Observed {
    let Sights { pool, workers: records, stats, readable_for, coming, refused, told, template, now } = sights;
    let by_queue: HashMap<&str, &WorkerSeen> =
        stats.iter().flat_map(|stats| &stats.workers).map(|seen| (seen.worker.0.as_str(), seen)).collect();
    let holders: HashSet<&str> =
        stats.iter().flat_map(|stats| &stats.leases).map(|lease| lease.worker.0.as_str()).collect();
    let names: HashSet<&str> = records.iter().map(|record| record.name.as_str()).collect();
    let clock = Clock { now, queue: stats.as_ref().map(|stats| (stats.now_ms, readable_for)) };
    let mut workers = Vec::with_capacity(records.len());
    let mut causes = HashMap::new();
    for record in &records {
        let seen = by_queue.get(record.name.as_str()).copied();
        let sign = sign(record, seen, clock);
        let worker = worker(record, sign, seen, holders.contains(record.name.as_str()), told, clock);
        causes.extend(sign.map(|sign| (worker.id.clone(), sign.cause)));
        workers.push(Worker { template: made_from(record, template), ..worker });
    }
    let podless = holders.iter().filter(|holder| !names.contains(**holder));
    workers.extend(podless.map(|holder| without_pod(holder, pool, told, now)));
    let starts = |find: fn(&WorkerRecord) -> Option<String>| records.iter().find_map(find);
    let trouble = starts(|record| match &record.start {
        Start::Failing(why) => Some(why.clone()),
        _ => None,
    });
    let impossible = starts(|record| match &record.start {
        Start::Unplaced(Unplaced::Impossible(why)) => Some(format!("Pod {}: {why}", record.name)),
        _ => None,
    });
    Observed {
        seen: Seen { queue: stats.as_ref().map(|stats| queue(stats, coming)), workers, refused },
        stats,
        workers: records.into_iter().map(|record| (record.name.clone(), record)).collect(),
        trouble,
        impossible,
        causes,
    }
}

/// How long a worker waited for a machine that was not there when it was made; `None`: it has none, or found one.
pub(crate) fn waited_for_new_machine(record: &WorkerRecord) -> Option<Duration> {
    let (created, scheduled) = (record.created?, record.scheduled?);
    let is_new = record.node.is_some() && record.node_created? > created;
    is_new.then(|| time(scheduled).since(time(created)))
}

/// The worst that anything says of the worker's machine.
fn sign(record: &WorkerRecord, seen: Option<&WorkerSeen>, clock: Clock) -> Option<Sign> {
    if seen.and_then(|seen| clock.silent(seen)).is_some_and(|silent| silent > LOST) {
        return Sign::gone("no word from it");
    }
    node::worst([record.sign, seen.and_then(|seen| node::told(seen, clock.now))])
}

fn worker(
    record: &WorkerRecord,
    sign: Option<Sign>,
    seen: Option<&WorkerSeen>,
    busy: bool,
    told: &dyn Fn(&str) -> Option<Order>,
    clock: Clock,
) -> Worker {
    let failed = ended_unheard(record, seen);
    let health = sign.map_or(Health::Healthy, |sign| sign.health);
    let health = if failed { Health::Healthy } else { health };
    let (id, capacity) = (policy::WorkerId(record.name.clone()), capacity::to_policy(record.capacity));
    Worker {
        zone: record.zone.clone(),
        node: record.node.clone(),
        model: seen.and_then(|seen| seen.loaded.clone()).or_else(|| record.model.clone()),
        phase: if failed { Phase::Failed } else { phase(record, seen, busy, clock) },
        health,
        order: order(record, seen, health, told),
        trouble: trouble(record, seen),
        no_machine: no_machine(record),
        ..Worker::new(id, capacity, waits_since(record, clock.now))
    }
}

/// Reasons of Pods that ended because their machine went, or made room for others.
const MACHINE_WENT: [&str; 6] =
    ["NodeShutdown", "Terminated", "NodeLost", "Shutdown", "Preempting", "Evicted"];

/// Whether its Pod ended, or was refused by its machine, before anybody heard of the worker.
fn ended_unheard(record: &WorkerRecord, seen: Option<&WorkerSeen>) -> bool {
    let Start::Ended(why) = &record.start else { return false };
    let reason = why.split(':').next().unwrap_or_default();
    seen.is_none() && !record.deleting && !MACHINE_WENT.contains(&reason)
}

/// Why it can't work: in its own words, else in those of its containers.
fn trouble(record: &WorkerRecord, seen: Option<&WorkerSeen>) -> Option<policy::Trouble> {
    let said = seen.and_then(|seen| seen.trouble.as_ref()).and_then(|trouble| {
        let fault = match trouble.fault() {
            queue::Fault::Worker => policy::Fault::Worker,
            queue::Fault::Machine => policy::Fault::Machine,
            queue::Fault::Pool => policy::Fault::Pool,
            queue::Fault::Task | queue::Fault::Nobody => return None,
        };
        Some(policy::Trouble { fault, message: trouble.message.clone() })
    });
    let by_containers = || match &record.start {
        Start::Failing(why) | Start::Ended(why) => {
            Some(policy::Trouble { fault: policy::Fault::Machine, message: why.clone() })
        }
        Start::Fine | Start::Unplaced(_) => None,
    };
    said.or_else(by_containers)
}

/// Why it has no machine, in the words of the autoscaler, else of the scheduler. What no machine would mend, the
/// scheduler alone knows.
fn no_machine(record: &WorkerRecord) -> Option<String> {
    match (&record.start, &record.awaited.words) {
        (Start::Unplaced(Unplaced::Impossible(why)), _) => Some(why.clone()),
        (_, Some(said)) => Some(said.clone()),
        (Start::Unplaced(Unplaced::NoMachine(why)), None) => Some(why.clone()),
        (Start::Fine | Start::Failing(_) | Start::Ended(_), None) => None,
    }
}

/// Whether it is made as the pool says now.
fn made_from(record: &WorkerRecord, template: &Template) -> policy::Template {
    let made_from = record.template.as_deref().unwrap_or_default();
    if !template.runs_the_same(record.capacity, made_from) {
        policy::Template::Outdated
    } else if !template.is_same(record.capacity, made_from) {
        policy::Template::Moved
    } else {
        policy::Template::Current
    }
}

/// When the worker began to wait for a machine. One that no machine would do for has yet to begin: it says nothing
/// of whether machines are to be had.
fn waits_since(record: &WorkerRecord, now: Timestamp) -> Time {
    match (&record.start, record.created) {
        (Start::Unplaced(Unplaced::Impossible(_)), _) | (_, None) => time(now),
        (_, Some(created)) => time(created),
    }
}

fn phase(record: &WorkerRecord, seen: Option<&WorkerSeen>, busy: bool, clock: Clock) -> Phase {
    if busy {
        return Phase::Busy;
    }
    let silent = seen.and_then(|seen| clock.silent(seen));
    if let Some(seen) = seen
        && seen.state == WorkerState::Ready
        && silent.is_some_and(|silent| silent <= SILENT)
    {
        return Phase::Idle { since: Time::from_millis(seen.idle_since_ms.unwrap_or(seen.seen_ms)) };
    }
    match record.node {
        // What no machine would mend no autoscaler refuses.
        None if matches!(record.start, Start::Unplaced(Unplaced::Impossible(_))) => {
            Phase::Unscheduled { machine: policy::Machine::Unknown }
        }
        None => Phase::Unscheduled { machine: record.awaited.machine },
        Some(_) => Phase::Starting { scheduled: time(record.scheduled.unwrap_or(clock.now)) },
    }
}

/// A worker that holds a lease but has no Pod: one of ours whose Pod is gone, or one that runs by itself.
fn without_pod(
    holder: &str,
    pool: &WorkerPool,
    told: &dyn Fn(&str) -> Option<Order>,
    now: Timestamp,
) -> Worker {
    let ours = [Capacity::Spot, Capacity::OnDemand]
        .into_iter()
        .any(|capacity| holder.starts_with(&pod::name_prefix(&pool.name_any(), capacity)));
    let id = policy::WorkerId(holder.to_owned());
    Worker {
        phase: Phase::Busy,
        health: if ours { Health::Gone } else { Health::Healthy },
        order: told(holder).unwrap_or(Order::Work),
        ..Worker::new(id, policy::Capacity::Spot, time(now))
    }
}

fn order(
    record: &WorkerRecord,
    seen: Option<&WorkerSeen>,
    health: Health,
    told: &dyn Fn(&str) -> Option<Order>,
) -> Order {
    let by_queue = match seen.map_or(queue::Order::Work, |seen| seen.order) {
        queue::Order::Work => Order::Work,
        queue::Order::Hold => Order::Hold,
        queue::Order::Retire => Order::Retire,
        queue::Order::Doomed { .. } => Order::Doomed,
    };
    let order = told(&record.name).unwrap_or(by_queue);
    if order == Order::Retire && record.deleting {
        // We took it away while it held nothing: its end is no news, to it or to anyone.
        return if health == Health::Gone { Order::Evicted } else { Order::Doomed };
    }
    order
}

fn queue(stats: &Stats, coming: Vec<policy::Backlog>) -> policy::Queue {
    let backlog = stats.backlog.iter().map(|b| policy::Backlog {
        class: b.class.clone(),
        model: b.model.clone(),
        work: b.work.clone(),
        due: Time::from_millis(b.due_ms),
        tasks: b.tasks,
        units: b.units,
    });
    let running = stats.leases.iter().map(|lease| policy::Running {
        worker: policy::WorkerId(lease.worker.0.clone()),
        class: lease.class.clone(),
        model: lease.model.clone(),
        work: lease.work.clone(),
        units: lease.units,
        due: Time::from_millis(lease.due_ms),
        started: Time::from_millis(lease.started_ms),
        progress: lease.progress,
    });
    policy::Queue { backlog: backlog.chain(coming).collect(), running: running.collect() }
}

#[cfg(test)]
mod tests;
