//! Tasks arrive, are claimed and done.
use std::time::Duration;

use policy::{Order, Phase, Sample, WorkerId};

use super::{Body, Held, Task, UNITS, World, secs};

/// A worker keeps to its model while nothing is due within this time.
const URGENT: Duration = Duration::from_secs(100);

impl World {
    pub(crate) fn arrive(&mut self, n: u32, class: &str, model: &str) {
        // One that the pool does not have waits for a day.
        let sla = self.policy.class(class).map_or(secs(86_400), |class| class.sla);
        let due = self.now.plus(sla);
        let task = Task { class: class.into(), model: model.into(), due };
        self.waiting.extend((0..n).map(|_| task.clone()));
        self.changed = true;
    }

    pub(crate) fn unfinished(&self) -> usize {
        self.waiting.len() + self.bodies.iter().filter(|b| b.held.is_some()).count()
    }

    pub(super) fn give_back(&mut self, id: &WorkerId) {
        if let Some(held) = self.body(id).held.take() {
            self.waiting.push(held.task);
            self.tally.interrupted += 1;
            self.changed = true;
        }
    }

    pub(super) fn finish_tasks(&mut self) {
        let now = self.now;
        for body in &mut self.bodies {
            if body.held.as_ref().is_none_or(|held| held.ends > now) || !body.lives() {
                continue;
            }
            let Some(held) = body.held.take() else { continue };
            if now <= held.task.due {
                self.tally.in_time += 1;
            } else {
                self.tally.late += 1;
            }
            self.tally.work += self.pace.image;
            if held.loads {
                self.tally.switches += 1;
            }
            let (work, model, took) = (String::new(), held.task.model, secs(self.pace.image));
            let sample = Sample::Task { work, model: model.clone(), units: UNITS, took };
            self.memory.estimates.observe(&sample);
            body.worker.model = Some(model);
            body.worker.phase = Phase::Idle { since: now };
            self.changed = true;
        }
    }

    pub(super) fn claim(&mut self) {
        let (now, policy, pace) = (self.now, &self.policy, self.pace);
        for body in self.bodies.iter_mut().filter(|body| body.claims() && !policy.paused) {
            let other = |task: &Task| body.worker.model.as_deref() != Some(&task.model);
            let classes = policy.serves(body.worker.capacity);
            let eligible = (0..self.waiting.len()).filter(|i| classes.contains(&self.waiting[*i].class));
            let by_due = |i: &usize| (self.waiting[*i].due, other(&self.waiting[*i]));
            let loaded = eligible.clone().filter(|i| !other(&self.waiting[*i])).min_by_key(by_due);
            let Some(urgent) = eligible.min_by_key(by_due) else { continue };
            // As the queue does: the model that is loaded, unless something else is pressing.
            let pressing = self.waiting[urgent].due < now.plus(URGENT);
            let first = loaded.filter(|_| !pressing).unwrap_or(urgent);
            let task = self.waiting.remove(first);
            let loads = other(&task);
            let whole = pace.image + if loads { pace.load } else { 0 };
            body.held = Some(Held { task, started: now, ends: now.plus(secs(whole)), loads });
            body.worker.phase = Phase::Busy;
            self.changed = true;
        }
    }
}

impl Body {
    pub(super) fn is_up(&self) -> bool {
        matches!(self.worker.phase, Phase::Idle { .. } | Phase::Busy) && self.lives()
    }

    fn claims(&self) -> bool {
        let free = self.is_up() && self.held.is_none();
        free && self.worker.order == Order::Work && self.worker.trouble.is_none()
    }
}
