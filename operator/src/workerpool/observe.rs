//! What is seen of a pool: its queue, its Pods, the nodes below them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use crds::{Capacity, WorkerPool, names};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, Node, Pod};
use kube::{ResourceExt as _, runtime::reflector::ObjectRef};
use policy::{Fault, Health, Phase, Seen, Template, Time, Trouble, Worker};
use queue::{Stats, WorkerSeen};

use super::{
    ledger::Machine,
    memory::PoolState,
    pod,
    unplaced::{Unplaced, unplaced},
};
use crate::{
    capacity,
    context::Watched,
    node::{self, Sign, Signs, time},
};

/// A worker that missed so many heartbeats (one every 3 s) is not counted as ready.
const SILENT: Duration = Duration::from_secs(12);
/// One silent for this long is given up and replaced; its leases, of 10 s, ended before.
const LOST: Duration = Duration::from_secs(15);

/// A pool at one moment.
pub(crate) struct Observed {
    pub(crate) seen: Seen,
    pub(crate) stats: Option<Stats>,
    /// The Pod of each worker that has one.
    pub(crate) pods: HashMap<String, Arc<Pod>>,
    /// Pods that are being deleted while no kubelet is left to end them: their node does not exist any more.
    pub(crate) orphans: Vec<Arc<Pod>>,
    /// Why workers do not come up, if any container says so.
    pub(crate) trouble: Option<String>,
    /// What the scheduler says of a worker for which no machine is there.
    pub(crate) no_machine: Option<String>,
    /// What it says of one that no machine would do for.
    pub(crate) impossible: Option<String>,
    /// Who says that a worker's machine is at risk, doomed or gone; for people.
    pub(crate) causes: HashMap<policy::WorkerId, &'static str>,
}

impl Observed {
    /// The workers that have a machine, and since when. The Pod of one that is gone may stay for minutes.
    pub(crate) fn machines(&self, now: Timestamp) -> Vec<Machine> {
        let workers = self.seen.workers.iter().filter(|worker| worker.health != Health::Gone);
        let placed = workers.filter_map(|worker| self.pods.get(&worker.id.0)).filter(|pod| has_node(pod));
        let machine = |pod: &Arc<Pod>| Machine {
            worker: pod.name_any(),
            capacity: capacity_of(pod),
            since: node::scheduled_at(pod).unwrap_or(now),
        };
        placed.map(machine).collect()
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
    /// Redis' clock, ms since the Unix epoch, and for how long the queue could be read without a gap.
    queue: Option<(u64, Duration)>,
}

impl Clock {
    /// For how long we should have heard from a worker and did not. While Redis is away nobody is heard, and
    /// when it is back the living need a moment to say so: that is no sign of death.
    fn silent(&self, seen: &WorkerSeen) -> Option<Duration> {
        let (redis_now_ms, readable_for) = self.queue?;
        Some(Duration::from_millis(redis_now_ms.saturating_sub(seen.seen_ms)).min(readable_for))
    }
}

/// The Pods of a pool, by its label.
pub(crate) fn pods_of(pool: &WorkerPool, watched: &Watched) -> Vec<Arc<Pod>> {
    let name = pool.name_any();
    watched.pods.state_filter(|pod: &Pod| {
        pod.metadata.namespace == pool.metadata.namespace
            && pod.labels().get(names::LABEL_POOL) == Some(&name)
    })
}

/// Puts together what is seen. Pure but for the caches it reads.
pub(crate) fn observe(
    pool: &WorkerPool,
    watched: &Watched,
    state: &mut PoolState,
    stats: Option<Stats>,
    template_hash: &str,
    now: Timestamp,
) -> Observed {
    let pods = state.with_created(pods_of(pool, watched));
    let seen_by_queue: HashMap<&str, &WorkerSeen> =
        stats.iter().flat_map(|stats| &stats.workers).map(|seen| (seen.worker.0.as_str(), seen)).collect();
    let holders: HashSet<&str> =
        stats.iter().flat_map(|stats| &stats.leases).map(|lease| lease.worker.0.as_str()).collect();
    let clock = Clock { now, queue: stats.as_ref().map(|stats| (stats.now_ms, state.readable_for())) };
    let mut workers = Vec::with_capacity(pods.len());
    let mut orphans = Vec::new();
    let mut causes = HashMap::new();
    for pod in &pods {
        let name = pod.name_any();
        let seen = seen_by_queue.get(name.as_str()).copied();
        let node = node_of(pod, watched);
        let sign = sign(pod, node.as_deref(), seen, watched, clock);
        let mut worker =
            worker(pod, node.as_deref(), sign, seen, holders.contains(name.as_str()), state, clock);
        if pod.metadata.deletion_timestamp.is_some() && node::vanished(pod, node.as_deref(), now) {
            orphans.push(Arc::clone(pod));
        }
        causes.extend(sign.map(|sign| (worker.id.clone(), sign.cause)));
        let stale =
            pod.annotations().get(names::ANNOTATION_TEMPLATE).map(String::as_str) != Some(template_hash);
        worker.template = if stale { Template::Outdated } else { Template::Current };
        workers.push(worker);
    }
    let no_machine = pods.iter().find_map(|pod| match unplaced(pod)? {
        Unplaced::NoMachine(message) => Some(message.to_owned()),
        Unplaced::Impossible(_) => None,
    });
    let impossible = pods.iter().find_map(|pod| match unplaced(pod)? {
        Unplaced::NoMachine(_) => None,
        Unplaced::Impossible(message) => Some(format!("Pod {}: {message}", pod.name_any())),
    });
    let by_name: HashMap<String, Arc<Pod>> =
        pods.iter().map(|pod| (pod.name_any(), Arc::clone(pod))).collect();
    let podless = holders.iter().filter(|holder| !by_name.contains_key(**holder));
    workers.extend(podless.map(|holder| without_pod(holder, pool, state, now)));
    Observed {
        seen: Seen { queue: stats.as_ref().map(queue), workers, refused: Vec::new() },
        trouble: pods.iter().find_map(|pod| trouble(pod)),
        no_machine,
        impossible,
        stats,
        pods: by_name,
        orphans,
        causes,
    }
}

fn node_of(pod: &Pod, watched: &Watched) -> Option<Arc<Node>> {
    let name = pod.spec.as_ref()?.node_name.as_ref()?;
    watched.nodes.get(&ObjectRef::new(name))
}

/// The worst that anything says of the worker's machine.
fn sign(
    pod: &Pod,
    node: Option<&Node>,
    seen: Option<&WorkerSeen>,
    watched: &Watched,
    clock: Clock,
) -> Option<Sign> {
    if seen.and_then(|seen| clock.silent(seen)).is_some_and(|silent| silent > LOST) {
        return Some(Sign { health: Health::Gone, cause: "no word from it" });
    }
    let karpenter = node.map(|node| watched.karpenter.said(node)).unwrap_or_default();
    node::sign(&Signs { pod, node, karpenter, worker: seen, now: clock.now })
}

fn worker(
    pod: &Pod,
    node: Option<&Node>,
    sign: Option<Sign>,
    seen: Option<&WorkerSeen>,
    busy: bool,
    state: &PoolState,
    clock: Clock,
) -> Worker {
    let now = clock.now;
    let id = policy::WorkerId(pod.name_any());
    let spec = pod.spec.as_ref();
    let node_name = spec.and_then(|spec| spec.node_name.clone());
    let silent = seen.and_then(|seen| clock.silent(seen));
    let health = sign.map_or(Health::Well, |sign| sign.health);
    let zone = node
        .and_then(|node| node.labels().get(pod::ZONE).cloned())
        .or_else(|| spec?.node_selector.as_ref()?.get(pod::ZONE).cloned());
    let capacity = capacity::to_policy(capacity_of(pod));
    let no_machine = unplaced(pod).map(|(Unplaced::NoMachine(said) | Unplaced::Impossible(said))| said);
    Worker {
        zone,
        model: seen
            .and_then(|seen| seen.loaded.clone())
            .or_else(|| pod.annotations().get(names::ANNOTATION_MODEL).cloned()),
        phase: phase(pod, node_name.is_some(), seen, silent, busy, now),
        health,
        order: order(pod, seen, health, state),
        node: node_name,
        trouble: trouble(pod).map(|message| Trouble { fault: Fault::Machine, message }),
        no_machine: no_machine.map(str::to_owned),
        ..Worker::new(id, capacity, waits_since(pod, now))
    }
}

fn capacity_of(pod: &Pod) -> Capacity {
    let label = pod.labels().get(names::LABEL_CAPACITY).map(String::as_str);
    capacity::from_label(label.unwrap_or_default())
}

fn has_node(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some())
}

/// When the worker began to wait for a machine. One that no machine would do for has yet to begin: it says nothing
/// of whether machines are to be had.
fn waits_since(pod: &Pod, now: Timestamp) -> Time {
    match (unplaced(pod), pod.creation_timestamp()) {
        (None | Some(Unplaced::NoMachine(_)), Some(created)) => time(created.0),
        (Some(Unplaced::Impossible(_)), _) | (_, None) => time(now),
    }
}

fn phase(
    pod: &Pod,
    has_node: bool,
    seen: Option<&WorkerSeen>,
    silent: Option<Duration>,
    busy: bool,
    now: Timestamp,
) -> Phase {
    if busy {
        return Phase::Busy;
    }
    if let Some(seen) = seen
        && silent.is_some_and(|silent| silent <= SILENT)
    {
        return Phase::Idle { since: Time::from_millis(seen.idle_since_ms.unwrap_or(seen.seen_ms)) };
    }
    match has_node {
        false => Phase::Unscheduled { machine: policy::Machine::Unknown },
        true => Phase::Starting { scheduled: time(node::scheduled_at(pod).unwrap_or(now)) },
    }
}

/// A worker that holds a lease but has no Pod: one of ours whose Pod is gone, or one that runs by itself.
fn without_pod(holder: &str, pool: &WorkerPool, state: &PoolState, now: Timestamp) -> Worker {
    let ours = [Capacity::Spot, Capacity::OnDemand]
        .into_iter()
        .any(|capacity| holder.starts_with(&super::worker_prefix(&pool.name_any(), capacity)));
    let evicted = state.evicted.contains(&queue::WorkerId(holder.to_owned()));
    let id = policy::WorkerId(holder.to_owned());
    Worker {
        phase: Phase::Busy,
        health: if ours { Health::Gone } else { Health::Well },
        order: if evicted { policy::Order::Evicted } else { policy::Order::Work },
        ..Worker::new(id, policy::Capacity::Spot, time(now))
    }
}

fn order(pod: &Pod, seen: Option<&WorkerSeen>, health: Health, state: &PoolState) -> policy::Order {
    let told = seen.map_or(queue::Order::Work, |seen| seen.order);
    if state.evicted.contains(&queue::WorkerId(pod.name_any())) {
        return policy::Order::Evicted;
    }
    if told == queue::Order::Retire && pod.metadata.deletion_timestamp.is_some() {
        // We took it away while it held nothing: its end is no news, to it or to anyone.
        return if health == Health::Gone { policy::Order::Evicted } else { policy::Order::Doomed };
    }
    match told {
        queue::Order::Work => policy::Order::Work,
        queue::Order::Hold => policy::Order::Hold,
        queue::Order::Retire => policy::Order::Retire,
        queue::Order::Doomed { .. } => policy::Order::Doomed,
    }
}

fn queue(stats: &Stats) -> policy::Queue {
    let backlog = stats.backlog.iter().map(|b| policy::Backlog {
        class: b.class.clone(),
        model: b.model.clone(),
        work: String::new(),
        due: Time::from_millis(b.due_ms),
        tasks: b.tasks,
        units: b.units,
    });
    let running = stats.leases.iter().map(|lease| policy::Running {
        worker: policy::WorkerId(lease.worker.0.clone()),
        class: lease.class.clone(),
        model: lease.model.clone(),
        work: String::new(),
        units: lease.units,
        due: Time::from_millis(lease.due_ms),
        started: Time::from_millis(lease.started_ms),
        progress: lease.progress,
    });
    policy::Queue { backlog: backlog.collect(), running: running.collect() }
}

/// Reasons of a waiting container that mean that it will not come up by waiting alone.
const FAILING: [&str; 6] = [
    "CrashLoopBackOff",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
];

fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    containers
        .filter_map(|container| failing(container.state.as_ref()?).map(|why| (container, why)))
        .map(|(container, why)| format!("container {} of Pod {}: {why}", container.name, pod.name_any()))
        .next()
}

fn failing(state: &ContainerState) -> Option<String> {
    let waiting = state.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    FAILING.contains(&reason).then(|| match waiting.message.as_deref() {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    })
}

#[cfg(test)]
mod tests;
