//! Machines come and go, and are not always what they should be.
use std::collections::BTreeMap;

use policy::{Capacity, Health, Machine, Phase, Sample, Trouble};

use super::{Body, World, secs};

/// Where machines are to be had, and what is wrong with them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Market {
    /// Machines that can be had, by capacity and zone; as many as are asked for where nothing is said.
    pub(crate) limits: BTreeMap<(Capacity, String), usize>,
    /// What happens to workers, by capacity and zone.
    pub(crate) faults: BTreeMap<(Capacity, String), Fault>,
    /// The autoscaler says within a second whether there is a machine.
    pub(crate) speaks: bool,
    /// The bucket refuses everybody.
    pub(crate) bucket_refuses: bool,
}

/// What happens to workers on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The kubelet refuses their Pods.
    Refuses,
    /// Their images can't be pulled, and the kubelet says so.
    NoImage,
    /// They never come up, and nobody says why.
    Silent,
    /// They come up and can't work.
    Broken,
}

impl Market {
    fn fault(&self, body: &Body) -> Option<Fault> {
        self.faults.get(&place(body)).copied()
    }
}

fn place(body: &Body) -> (Capacity, String) {
    (body.worker.capacity, body.worker.zone.clone().unwrap_or_default())
}

impl World {
    /// So many machines can be had in a zone; `None`: as many as are asked for.
    pub(crate) fn limit(&mut self, capacity: Capacity, zone: &str, machines: Option<usize>) {
        let place = (capacity, zone.to_owned());
        match machines {
            Some(machines) => drop(self.market.limits.insert(place, machines)),
            None => drop(self.market.limits.remove(&place)),
        }
    }

    /// All spot workers of a zone that have a machine get a sign.
    pub(crate) fn strike(&mut self, zone: &str, health: Health) {
        for body in self.bodies.iter_mut().filter(|b| b.worker.zone.as_deref() == Some(zone)) {
            if body.worker.capacity == Capacity::Spot && body.worker.node.is_some() {
                body.worker.health = health;
            }
        }
        self.changed = true;
    }

    pub(super) fn advance_machines(&mut self) {
        for i in 0..self.bodies.len() {
            let before = self.bodies[i].worker.clone();
            match before.phase {
                Phase::Unscheduled { .. } => self.find_machine(i),
                Phase::Starting { .. } => self.come_up(i),
                Phase::Failed => {}
                Phase::Idle { .. } | Phase::Busy => {
                    self.bodies[i].worker.trouble = self.trouble(&self.bodies[i]);
                }
            }
            let body = &mut self.bodies[i];
            if let Health::Doomed { deadline } = body.worker.health
                && self.now >= deadline
            {
                body.worker.health = Health::Gone;
            }
            self.changed |= body.worker != before;
        }
    }

    fn find_machine(&mut self, i: usize) {
        let taken = |of: &Body| place(of) == place(&self.bodies[i]) && of.worker.node.is_some();
        let taken = self.bodies.iter().filter(|of| taken(of)).count();
        let limit = self.market.limits.get(&place(&self.bodies[i]));
        let none = limit.is_some_and(|limit| taken >= *limit);
        let fault = self.market.fault(&self.bodies[i]);
        let (now, pace, speaks) = (self.now, self.pace, self.market.speaks);
        let body = &mut self.bodies[i];
        let worker = &mut body.worker;
        let waited = now.since(worker.created);
        if speaks && waited >= secs(1) {
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
        let load = if body.warm.is_some() { pace.load } else { 0 };
        body.ready_at = Some(now.plus(secs(pace.boot + load)));
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
        let fault = self.market.fault(&self.bodies[i]);
        let stuck = matches!(fault, Some(Fault::NoImage | Fault::Silent));
        let trouble = self.trouble(&self.bodies[i]);
        let (now, pace) = (self.now, self.pace);
        let body = &mut self.bodies[i];
        if stuck || body.ready_at.is_none_or(|at| now < at) {
            return;
        }
        let worker = &mut body.worker;
        worker.trouble = trouble;
        // One that waits for the bucket is not ready.
        if worker.trouble.as_ref().is_some_and(|trouble| trouble.fault == policy::Fault::Pool) {
            return;
        }
        worker.phase = Phase::Idle { since: now };
        worker.model = body.warm.clone();
        let load = if body.warm.is_some() { pace.load } else { 0 };
        let (capacity, took) = (worker.capacity, now.since(worker.created).saturating_sub(secs(load)));
        self.memory.estimates.observe(&Sample::Started { capacity, took });
    }

    fn trouble(&self, body: &Body) -> Option<Trouble> {
        let says = |fault, message: &str| Some(Trouble { fault, message: message.to_owned() });
        match self.market.fault(body) {
            _ if self.market.bucket_refuses => says(policy::Fault::Pool, "bucket imagse does not exist"),
            Some(Fault::Broken) => says(policy::Fault::Worker, "CUDA error: an illegal memory access"),
            _ => None,
        }
    }
}
