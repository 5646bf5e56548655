//! Estimates the work that arrives while the waiting work is being done, and is due before it.
//!
//! Tasks of a class with a long promise are overtaken by tasks that arrive later in classes with shorter promises. A
//! plan that counts only waiting work would find time for them again and again, until they are late.
use std::collections::BTreeMap;

use crate::{Capacity, CapacityRule, Class, Time, demand::Bucket, view::View};

/// The arrival rate is measured over this time, in seconds. Nearly all tasks that arrived in it still wait or run.
const LOOK_BACK: f64 = 30.0;
/// The time constant over which the rate is averaged, in seconds.
const AVERAGED_OVER: f64 = 120.0;
/// The largest number of portions of expected work, for all classes together.
const MAX_PORTIONS: usize = 32;
/// The lowest rate that counts, in engine seconds per second.
const LOWEST_RATE: f64 = 0.01;

/// Engine seconds of work that arrive per second, by class.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Inflow {
    pub(crate) by_class: BTreeMap<String, f64>,
}

impl Inflow {
    /// Updates the remembered rates with the work that arrived lately.
    pub(crate) fn read(view: &View, waiting: &[Bucket]) -> Self {
        let memory = view.memory;
        let elapsed = memory.inflow_at.map_or(0.0, |at| view.now.since(at).as_secs_f64());
        let newest = if memory.inflow_at.is_none() { 1.0 } else { 1.0 - (-elapsed / AVERAGED_OVER).exp() };
        let mut by_class = memory.inflow.clone();
        for class in &view.policy.classes {
            let arrived = |due: Time| class.sla.as_secs_f64() - view.seconds_until(due) < LOOK_BACK;
            let waits = waiting.iter().filter(|b| b.class == class.name && arrived(b.due));
            let waits = waits.map(|b| b.mean * b.tasks as f64);
            let running = view.running().iter().filter(|task| task.class == class.name && arrived(task.due));
            let running = running.map(|task| view.pace.task_seconds(&task.work, &task.model, task.units));
            let seconds = waits.chain(running).sum::<f64>() / LOOK_BACK;
            let known = by_class.entry(class.name.clone()).or_default();
            *known += (seconds - *known) * newest;
        }
        by_class.retain(|class, seconds| *seconds >= LOWEST_RATE && view.class(class).is_some());
        Self { by_class }
    }

    /// The rate of work that may run on spot and for which a worker of this capacity may be started.
    pub(crate) fn for_spot(&self, view: &View, capacity: Capacity) -> f64 {
        let classes = view.policy.classes.iter().filter(|class| class.capacity != CapacityRule::OnDemand);
        let started_for = classes.filter(|class| class.capacity.may_start(capacity));
        started_for.filter_map(|class| self.by_class.get(&class.name)).sum()
    }

    /// The work that is expected to arrive and to be due before some of the waiting tasks. By any time t this is, for
    /// each class, its rate × (t − its promise). The work is divided among the due times of the waiting buckets; if
    /// there are many, one portion covers several due times.
    pub(crate) fn portions<'a>(&self, view: &View<'a>, waiting: &[Bucket<'a>]) -> Vec<Bucket<'a>> {
        let rates = |class: &'a Class| Some((class, *self.by_class.get(&class.name)?));
        let rates: Vec<(&Class, f64)> = view.policy.classes.iter().filter_map(rates).collect();
        let mut portions = Vec::new();
        for (class, per_second) in &rates {
            let sla = class.sla.as_secs_f64();
            let mut dues: Vec<Time> =
                waiting.iter().map(|b| b.due).filter(|due| view.seconds_until(*due) > sla).collect();
            dues.dedup();
            let every = dues.len().div_ceil((MAX_PORTIONS / rates.len()).max(1)).max(1);
            let mut before = sla;
            // The last due time of each group is its latest, and the last due time of all is always included.
            for due in dues.rchunks(every).rev().filter_map(|group| group.last()) {
                let seconds = per_second * (view.seconds_until(*due) - before);
                before = view.seconds_until(*due);
                portions.push(Bucket {
                    class: &class.name,
                    model: "",
                    work: "",
                    rule: class.capacity,
                    sla,
                    due: *due,
                    tasks: 1,
                    each: seconds,
                    mean: seconds,
                    load: 0.0,
                    expected: true,
                });
            }
        }
        portions
    }
}
