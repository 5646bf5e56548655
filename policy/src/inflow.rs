//! What is still to come: work that arrives while what waits is being done, and is due before it.
//!
//! A class with a long promise is overtaken by what arrives later in classes with shorter ones. A plan that counts only
//! what is there would find time for it again and again, until it is late.
use std::collections::BTreeMap;

use crate::{Capacity, CapacityRule, Class, Time, demand::Bucket, view::View};

/// What arrived within this time tells how much arrives, seconds: nearly all of it is still there.
const LOOK_BACK: f64 = 30.0;
/// It is averaged over about this time, seconds.
const AVERAGED_OVER: f64 = 120.0;
/// What is to come is counted in so many portions at most, all classes together.
const PORTIONS: usize = 32;
/// Less than this is none, engine seconds per second.
const LEAST: f64 = 0.01;

/// Engine seconds of work that arrive per second, by class.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Inflow {
    pub(crate) by_class: BTreeMap<String, f64>,
}

impl Inflow {
    /// As it was known, and as what arrived lately tells.
    pub(crate) fn read(view: &View, waiting: &[Bucket]) -> Self {
        let memory = view.memory;
        let elapsed = memory.inflow_at.map_or(0.0, |at| view.now.since(at).as_secs_f64());
        let newest = if memory.inflow_at.is_none() { 1.0 } else { 1.0 - (-elapsed / AVERAGED_OVER).exp() };
        let mut by_class = memory.inflow.clone();
        for class in &view.policy.classes {
            let arrived = |due: Time| class.sla.as_secs_f64() - view.until(due) < LOOK_BACK;
            let waits = waiting.iter().filter(|b| b.class == class.name && arrived(b.due));
            let waits = waits.map(|b| b.mean * b.tasks as f64);
            let running = view.running().iter().filter(|task| task.class == class.name && arrived(task.due));
            let running = running.map(|task| view.pace.task_seconds(&task.work, &task.model, task.units));
            let seconds = waits.chain(running).sum::<f64>() / LOOK_BACK;
            let known = by_class.entry(class.name.clone()).or_default();
            *known += (seconds - *known) * newest;
        }
        by_class.retain(|class, seconds| *seconds >= LEAST && view.class(class).is_some());
        Self { by_class }
    }

    /// How much arrives that a worker of this capacity may be started for, of what may run on spot.
    pub(crate) fn for_spot(&self, view: &View, capacity: Capacity) -> f64 {
        let classes = view.policy.classes.iter().filter(|class| class.capacity != CapacityRule::OnDemand);
        let started_for = classes.filter(|class| class.capacity.may_start(capacity));
        started_for.filter_map(|class| self.by_class.get(&class.name)).sum()
    }

    /// What is expected to arrive and to be due before some of what waits. By any time t that is the rate of each class
    /// × (t − its promise); it is given to the buckets that are due then, or where these are many to every so many-th.
    pub(crate) fn portions<'a>(&self, view: &View<'a>, waiting: &[Bucket<'a>]) -> Vec<Bucket<'a>> {
        let rates = |class: &'a Class| Some((class, *self.by_class.get(&class.name)?));
        let rates: Vec<(&Class, f64)> = view.policy.classes.iter().filter_map(rates).collect();
        let mut portions = Vec::new();
        for (class, per_second) in &rates {
            let sla = class.sla.as_secs_f64();
            let mut dues: Vec<Time> =
                waiting.iter().map(|b| b.due).filter(|due| view.until(*due) > sla).collect();
            dues.dedup();
            let every = dues.len().div_ceil((PORTIONS / rates.len()).max(1)).max(1);
            let mut before = sla;
            // The last one of each group is the latest, and the last of all is always one.
            for due in dues.rchunks(every).rev().filter_map(|group| group.last()) {
                let seconds = per_second * (view.until(*due) - before);
                before = view.until(*due);
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
