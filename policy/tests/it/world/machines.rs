//! Simulates machines and their faults.
use std::collections::BTreeMap;

use policy::{Capacity, Health, Machine, Phase, Sample, Trouble};

use super::{SimWorker, World, secs};

/// The machines that are available, and their faults.
#[derive(Debug, Clone, Default)]
pub(crate) struct Market {
    /// The number of machines by capacity and zone; unlimited where there is no entry.
    pub(crate) limits: BTreeMap<(Capacity, String), usize>,
    /// The fault of new machines, by capacity and zone.
    pub(crate) faults: BTreeMap<(Capacity, String), Fault>,
    /// Whether the autoscaler reports within a second if there is a machine.
    pub(crate) autoscaler_reports: bool,
    /// Whether the bucket refuses all workers.
    pub(crate) bucket_refuses: bool,
}

/// What happens to workers on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The kubelet refuses their Pods.
    Refuses,
    /// Their images can't be pulled, and the kubelet reports it.
    NoImage,
    /// They never come up, and nothing reports why.
    Silent,
    /// They come up and can't work.
    Broken,
}

impl Market {
    fn fault(&self, sim: &SimWorker) -> Option<Fault> {
        self.faults.get(&place(sim)).copied()
    }
}

fn place(sim: &SimWorker) -> (Capacity, String) {
    (sim.worker.capacity, sim.worker.zone.clone().unwrap_or_default())
}

impl World {
    /// Limits the machines of a zone; `None`: no limit.
    pub(crate) fn limit(&mut self, capacity: Capacity, zone: &str, machines: Option<usize>) {
        let place = (capacity, zone.to_owned());
        match machines {
            Some(machines) => drop(self.market.limits.insert(place, machines)),
            None => drop(self.market.limits.remove(&place)),
        }
    }

    /// Gives all spot workers of a zone that have a machine this health.
    pub(crate) fn set_zone_health(&mut self, zone: &str, health: Health) {
        for sim in self.workers.iter_mut().filter(|b| b.worker.zone.as_deref() == Some(zone)) {
            if sim.worker.capacity == Capacity::Spot && sim.worker.node.is_some() {
                sim.worker.health = health;
            }
        }
        self.changed = true;
    }

    pub(super) fn advance_machines(&mut self) {
        for i in 0..self.workers.len() {
            let before = self.workers[i].worker.clone();
            match before.phase {
                Phase::Unscheduled { .. } => self.find_machine(i),
                Phase::Starting { .. } => self.come_up(i),
                Phase::Failed => {}
                Phase::Idle { .. } | Phase::Busy => {
                    self.workers[i].worker.trouble = self.trouble(&self.workers[i]);
                }
            }
            let sim = &mut self.workers[i];
            if let Health::Doomed { deadline } = sim.worker.health
                && self.now >= deadline
            {
                sim.worker.health = Health::Gone;
            }
            self.changed |= sim.worker != before;
        }
    }

    fn find_machine(&mut self, i: usize) {
        let taken = |of: &SimWorker| place(of) == place(&self.workers[i]) && of.worker.node.is_some();
        let taken = self.workers.iter().filter(|of| taken(of)).count();
        let limit = self.market.limits.get(&place(&self.workers[i]));
        let none = limit.is_some_and(|limit| taken >= *limit);
        let fault = self.market.fault(&self.workers[i]);
        let (now, pace, autoscaler_reports) = (self.now, self.pace, self.market.autoscaler_reports);
        let sim = &mut self.workers[i];
        let worker = &mut sim.worker;
        let waited = now.since(worker.created);
        if autoscaler_reports && waited >= secs(1) {
            let launched = Machine::Launched { at: worker.created.plus(secs(1)) };
            worker.phase = Phase::Unscheduled { machine: if none { Machine::Refused } else { launched } };
            worker.no_machine = none.then(|| format!("NodePool {}: limits exceeded", worker.capacity));
        }
        if none || waited < secs(pace.machine) {
            return;
        }
        worker.no_machine = None;
        worker.phase = Phase::Starting { scheduled: now };
        worker.node = Some(format!("node-of-{}", worker.id));
        let load = if sim.warm.is_some() { pace.load } else { 0 };
        sim.ready_at = Some(now.plus(secs(pace.boot + load)));
        let trouble = |message: &str| Trouble { fault: policy::Fault::Machine, message: message.to_owned() };
        match fault {
            Some(Fault::Refuses) => {
                worker.phase = Phase::Failed;
                worker.trouble = Some(trouble("UnexpectedAdmissionError: no healthy devices present"));
            }
            Some(Fault::NoImage) => worker.trouble = Some(trouble("ImagePullBackOff: manifest unknown")),
            Some(Fault::Silent | Fault::Broken) | None => {}
        }
        let (capacity, took) = (worker.capacity, waited);
        self.memory.estimates.observe(&Sample::Placed { capacity, took });
    }

    fn come_up(&mut self, i: usize) {
        let fault = self.market.fault(&self.workers[i]);
        let stuck = matches!(fault, Some(Fault::NoImage | Fault::Silent));
        let trouble = self.trouble(&self.workers[i]);
        let (now, pace) = (self.now, self.pace);
        let sim = &mut self.workers[i];
        if stuck || sim.ready_at.is_none_or(|at| now < at) {
            return;
        }
        let worker = &mut sim.worker;
        worker.trouble = trouble;
        // A worker that waits for the bucket is not ready.
        if worker.trouble.as_ref().is_some_and(|trouble| trouble.fault == policy::Fault::Pool) {
            return;
        }
        worker.phase = Phase::Idle { since: now };
        worker.model = sim.warm.clone();
        let load = if sim.warm.is_some() { pace.load } else { 0 };
        let (capacity, took) = (worker.capacity, now.since(worker.created).saturating_sub(secs(load)));
        self.memory.estimates.observe(&Sample::Started { capacity, took });
    }

    fn trouble(&self, sim: &SimWorker) -> Option<Trouble> {
        let says = |fault, message: &str| Some(Trouble { fault, message: message.to_owned() });
        match self.market.fault(sim) {
            _ if self.market.bucket_refuses => says(policy::Fault::Pool, "bucket imagse does not exist"),
            Some(Fault::Broken) => says(policy::Fault::Worker, "CUDA error: an illegal memory access"),
            _ => None,
        }
    }
}
