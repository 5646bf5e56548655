//! What the operator would see.
use std::{collections::BTreeMap, time::Duration};

use policy::{Queue, Running, Seen, Time};

use super::{Body, Held, World};
use crate::arrivals::Task;

/// Progress is as old as the last heartbeat, at most.
const HEARTBEAT_MS: u64 = 3000;
/// Progress is told in so many steps.
const STEPS: u32 = 1000;
/// As the queue counts what waits: due times rounded down to this fraction of the class's promise …
const BUCKETS_PER_SLA: u64 = 32;
/// … and no finer.
const SMALLEST_BUCKET_MS: u64 = 1000;

/// Waiting tasks by class, model and due time: how many, and their units.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    buckets: BTreeMap<(usize, usize, u64), (u64, f64)>,
    tasks: u64,
}

impl Backlog {
    pub(super) fn tasks(&self) -> u64 {
        self.tasks
    }

    pub(super) fn add(&mut self, task: &Task, sla: Duration) {
        let (tasks, units) = self.buckets.entry(bucket(task, sla)).or_default();
        *tasks += 1;
        *units += task.units;
        self.tasks += 1;
    }

    pub(super) fn take(&mut self, task: &Task, sla: Duration) {
        let key = bucket(task, sla);
        if let Some((tasks, units)) = self.buckets.get_mut(&key) {
            *tasks -= 1;
            *units -= task.units;
            if *tasks == 0 {
                self.buckets.remove(&key);
            }
        }
        self.tasks -= 1;
    }
}

fn bucket(task: &Task, sla: Duration) -> (usize, usize, u64) {
    let sla_ms = u64::try_from(sla.as_millis()).unwrap_or(u64::MAX);
    let width = (sla_ms / BUCKETS_PER_SLA).max(SMALLEST_BUCKET_MS);
    let due = task.at.plus(sla).as_millis();
    (task.class, task.model, due - due % width)
}

impl World<'_> {
    pub(super) fn seen(&self) -> Seen {
        let setup = self.setup;
        let classes = &setup.pool.policy.classes;
        let backlog = self.backlog.buckets.iter().map(|((class, model, due), (tasks, units))| {
            let (class, model) = (classes[*class].name.clone(), setup.work.models[*model].clone());
            let (due, work) = (Time::from_millis(*due), String::new());
            policy::Backlog { class, model, work, due, tasks: *tasks, units: *units }
        });
        let running = self.workers.values().filter_map(|body| Some(self.running(body, body.held.as_ref()?)));
        let queue = Queue { backlog: backlog.collect(), running: running.collect() };
        let workers = self.workers.values().map(|body| body.seen.clone()).collect();
        Seen { queue: Some(queue), workers, refused: Vec::new() }
    }

    fn running(&self, body: &Body, held: &Held) -> Running {
        let task = &self.setup.work.tasks[held.grant.uid as usize];
        let class = &self.setup.pool.policy.classes[task.class];
        Running {
            worker: body.seen.id.clone(),
            class: class.name.clone(),
            model: self.setup.work.models[task.model].clone(),
            work: String::new(),
            units: task.units,
            due: task.at.plus(class.sla),
            started: held.started,
            progress: self.progress(held),
        }
    }

    /// As of the last heartbeat; none while the model is being loaded.
    fn progress(&self, held: &Held) -> Option<(u32, u32)> {
        let since = u64::try_from(self.now.since(held.started).as_millis()).unwrap_or_default();
        let told = since - since % HEARTBEAT_MS;
        let ran = told.checked_sub(held.load).filter(|ran| *ran > 0)?;
        let done = ran * u64::from(STEPS) / held.exec.max(1);
        Some((u32::try_from(done).unwrap_or(STEPS).min(STEPS), STEPS))
    }
}
