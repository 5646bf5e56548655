//! Tasks arrive, are claimed, done, and given back.
use policy::{Phase, Sample, Time};

use super::{Body, ESTIMATES, Held, World, events::Event, ms};
use crate::{
    arrivals::UNITS_PER_SECOND,
    contenders::Scaler,
    lanes::{Grant, Job, Name},
};

impl Held {
    /// When it will be done.
    pub(super) fn ends(&self) -> Time {
        Time::from_millis(self.started.as_millis() + self.load + self.exec)
    }
}

impl World<'_> {
    pub(super) fn arrive(&mut self) {
        let work = self.setup.work;
        while let Some(task) = work.tasks.get(self.arrived).filter(|task| task.at <= self.now) {
            let uid = u32::try_from(self.arrived).unwrap_or(u32::MAX);
            let sla = self.setup.pool.policy.classes[task.class].sla;
            self.lanes.enqueue(
                ms(self.now),
                Job {
                    uid,
                    class: task.class,
                    tenant: self.names.tenants[task.tenant],
                    model: self.names.models[task.model],
                    arrival: ms(task.at),
                    sla: i64::try_from(sla.as_millis()).unwrap_or(i64::MAX),
                    gpu_ms: task.units * 1000.0 / UNITS_PER_SECOND,
                    weight: 1.0,
                    total: 1,
                },
            );
            self.backlog.add(task, sla);
            if uid % ESTIMATES == 0 {
                self.asked.push(uid);
            }
            self.arrived += 1;
        }
        if let Some(next) = work.tasks.get(self.arrived) {
            self.events.push(next.at, Event::Arrive);
        }
        self.ring();
    }

    /// There is work: who is idle claims. Who hears the bell first is chance.
    pub(super) fn ring(&mut self) {
        let mut idle: Vec<u32> =
            self.workers.iter().filter(|(_, body)| body.claims()).map(|(number, _)| *number).collect();
        while !idle.is_empty() && self.backlog.tasks() > 0 {
            let number = idle.swap_remove(self.random.below(idle.len()));
            self.claim(number);
        }
    }

    pub(super) fn claim(&mut self, number: u32) {
        let now = self.now;
        let Some(body) = self.workers.get(&number).filter(|body| body.claims()) else { return };
        let loaded = body.model.map(|model| self.names.models[model]);
        let idle_elsewhere = |model: Name| {
            let has =
                |body: &Body| body.claims() && body.model.is_some_and(|m| self.names.models[m] == model);
            self.workers.values().any(has)
        };
        let grant = self.lanes.claim(ms(now), &body.classes, loaded, idle_elsewhere);
        let (Some(grant), Some(body)) = (grant, self.workers.get_mut(&number)) else { return };
        let task = &self.setup.work.tasks[grant.uid as usize];
        let switches = body.model != Some(task.model);
        let load = if switches { self.setup.pool.pace.load.as_millis() } else { 0 };
        let load = u64::try_from(load).unwrap_or_default();
        let held = Held { grant, started: now, load, exec: self.left[grant.uid as usize] };
        body.held = Some(held);
        body.model = Some(task.model);
        body.seen.model = Some(self.setup.work.models[task.model].clone());
        body.seen.phase = Phase::Busy;
        self.outcome.switches += u64::from(switches);
        self.outcome.load_ms += load;
        self.backlog.take(task, self.setup.pool.policy.classes[task.class].sla);
        self.events.push(held.ends(), Event::Done(number, grant));
    }

    pub(super) fn done(&mut self, number: u32, grant: Grant, scaler: &mut dyn Scaler) {
        if self.cut_off.contains(&number) {
            self.done_unheard(grant);
            return;
        }
        let Some(body) = self.workers.get_mut(&number) else { return };
        let Some(held) = body.held.filter(|held| held.grant == grant) else { return };
        body.held = None;
        body.seen.phase = Phase::Idle { since: self.now };
        self.record(grant, held.exec);
        let task = &self.setup.work.tasks[grant.uid as usize];
        let model = self.setup.work.models[task.model].clone();
        if held.exec == task.exec {
            let took = std::time::Duration::from_millis(held.exec);
            let (work, units) = (String::new(), task.units);
            scaler.learn(&Sample::Task { work, model, units, took });
        }
        self.claim(number);
    }

    /// A worker that was cut off has made a picture: whether it still counts is for the queue to say.
    fn done_unheard(&mut self, grant: Grant) {
        if !self.record(grant, self.left[grant.uid as usize]) {
            self.outcome.stale += 1;
            self.outcome.redone_ms += self.left[grant.uid as usize];
        }
    }

    fn record(&mut self, grant: Grant, gpu_ms: u64) -> bool {
        let accepted = self.lanes.complete(grant, i64::try_from(gpu_ms).unwrap_or(i64::MAX));
        if accepted {
            self.outcome.complete(grant.uid as usize, self.now);
        }
        accepted
    }

    /// What a worker held goes back to the queue, and what it had done of it is lost but for whole segments.
    pub(super) fn give_back(&mut self, number: u32) {
        if let Some(grant) = self.lose_held(number) {
            self.requeue(grant);
        }
    }

    /// The work at hand is lost. The lease stays.
    pub(super) fn lose_held(&mut self, number: u32) -> Option<Grant> {
        let body = self.workers.get_mut(&number)?;
        let held = body.held.take()?;
        body.seen.phase = Phase::Idle { since: self.now };
        let spent = u64::try_from(self.now.since(held.started).as_millis()).unwrap_or_default();
        let done = spent.saturating_sub(held.load);
        let kept = self.setup.pool.pace.kept(done, held.exec);
        self.outcome.redone_ms += spent - kept;
        self.left[held.grant.uid as usize] = held.exec - kept;
        Some(held.grant)
    }

    /// A lease has ended, or was given back.
    pub(super) fn requeue(&mut self, grant: Grant) {
        if !self.lanes.interrupt(grant) {
            return;
        }
        let task = &self.setup.work.tasks[grant.uid as usize];
        self.outcome.interrupted += 1;
        self.backlog.add(task, self.setup.pool.policy.classes[task.class].sla);
        self.ring();
    }
}
