//! Simulates tasks that arrive, are claimed and finished.
use std::time::Duration;

use policy::{Order, Phase, Sample, WorkerId};

use super::{Lease, SimWorker, Task, UNITS, World, secs};

/// A worker keeps its model unless a task is due within this time.
const URGENT: Duration = Duration::from_secs(100);

impl World {
    pub(crate) fn arrive(&mut self, n: u32, class: &str, model: &str) {
        // A task of a class that the pool does not have waits for a day.
        let sla = self.policy.class(class).map_or(secs(86_400), |class| class.sla);
        let due = self.now.plus(sla);
        let task = Task { class: class.into(), model: model.into(), due };
        self.waiting.extend((0..n).map(|_| task.clone()));
        self.changed = true;
    }

    pub(crate) fn unfinished(&self) -> usize {
        self.waiting.len() + self.workers.iter().filter(|b| b.lease.is_some()).count()
    }

    pub(super) fn hand_back(&mut self, id: &WorkerId) {
        if let Some(lease) = self.sim_worker(id).lease.take() {
            self.waiting.push(lease.task);
            self.tally.interrupted += 1;
            self.changed = true;
        }
    }

    pub(super) fn finish_tasks(&mut self) {
        let now = self.now;
        for sim in &mut self.workers {
            if sim.lease.as_ref().is_none_or(|lease| lease.ends > now) || !sim.lives() {
                continue;
            }
            let Some(lease) = sim.lease.take() else { continue };
            if now <= lease.task.due {
                self.tally.in_time += 1;
            } else {
                self.tally.late += 1;
            }
            self.tally.work += self.pace.image;
            if lease.loads {
                self.tally.switches += 1;
            }
            let (work, model, took) = (String::new(), lease.task.model, secs(self.pace.image));
            let sample = Sample::Task { work, model: model.clone(), units: UNITS, took };
            self.memory.estimates.observe(&sample);
            sim.worker.model = Some(model);
            sim.worker.phase = Phase::Idle { since: now };
            self.changed = true;
        }
    }

    pub(super) fn claim(&mut self) {
        let (now, policy, pace) = (self.now, &self.policy, self.pace);
        for sim in self.workers.iter_mut().filter(|sim| sim.claims() && !policy.suspended) {
            let other = |task: &Task| sim.worker.model.as_deref() != Some(&task.model);
            let classes = policy.serves(sim.worker.capacity);
            let eligible = (0..self.waiting.len()).filter(|i| classes.contains(&self.waiting[*i].class));
            let by_due = |i: &usize| (self.waiting[*i].due, other(&self.waiting[*i]));
            let loaded = eligible.clone().filter(|i| !other(&self.waiting[*i])).min_by_key(by_due);
            let Some(urgent) = eligible.min_by_key(by_due) else { continue };
            // Like the queue: a task for the loaded model, unless another one is urgent.
            let pressing = self.waiting[urgent].due < now.plus(URGENT);
            let first = loaded.filter(|_| !pressing).unwrap_or(urgent);
            let task = self.waiting.remove(first);
            let loads = other(&task);
            let whole = pace.image + if loads { pace.load } else { 0 };
            sim.lease = Some(Lease { task, started: now, ends: now.plus(secs(whole)), loads });
            sim.worker.phase = Phase::Busy;
            self.changed = true;
        }
    }
}

impl SimWorker {
    pub(super) fn is_up(&self) -> bool {
        matches!(self.worker.phase, Phase::Idle { .. } | Phase::Busy) && self.lives()
    }

    fn claims(&self) -> bool {
        let free = self.is_up() && self.lease.is_none();
        free && self.worker.order == Order::Work && self.worker.trouble.is_none()
    }
}
