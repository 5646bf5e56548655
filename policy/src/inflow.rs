//! What is still to come: work that arrives while what waits is being done, and is due before it.
//!
//! A class with a long promise is overtaken by what arrives later in classes with shorter ones. A plan that counts only
//! what is there would find time for it again and again, until it is late.
use std::collections::BTreeMap;

use crate::{Memory, Time, demand::Bucket, view::View};

/// What arrived within this time tells how much arrives, seconds: nearly all of it is still there.
const LOOK_BACK: f64 = 30.0;
/// It is averaged over about this time, seconds.
const AVERAGED_OVER: f64 = 120.0;
/// What is to come is counted in so many portions per promise.
const PORTIONS: f64 = 4.0;
/// Less than this is none, engine seconds per second.
const LEAST: f64 = 0.01;

/// Engine seconds that arrive per second, by class.
pub(crate) fn read(view: &View, demand: &[Bucket], memory: &mut Memory) {
    let elapsed = memory.inflow_at.map_or(0.0, |at| view.now.since(at).as_secs_f64());
    let newest = if memory.inflow_at.is_none() { 1.0 } else { 1.0 - (-elapsed / AVERAGED_OVER).exp() };
    for class in &view.policy.classes {
        let arrived = |due: Time| class.sla.as_secs_f64() - view.until(due) < LOOK_BACK;
        let waiting = demand.iter().filter(|b| b.class == class.name && arrived(b.due)).map(Bucket::seconds);
        let running = view.running().iter().filter(|task| task.class == class.name && arrived(task.due));
        let running = running.map(|task| view.estimates().task_seconds(&task.model, task.units));
        let seconds = waiting.chain(running).sum::<f64>() / LOOK_BACK;
        let known = memory.inflow.entry(class.name.clone()).or_default();
        *known += (seconds - *known) * newest;
    }
    memory.inflow.retain(|class, seconds| *seconds >= LEAST && view.class(class).is_some());
    memory.inflow_at = Some(view.now);
}

/// What waits, and among it what is expected to arrive and to be due before some of it.
pub(crate) fn foresee<'a>(
    view: &View<'a>,
    demand: &[Bucket<'a>],
    inflow: &BTreeMap<String, f64>,
) -> Vec<Bucket<'a>> {
    let mut all = demand.to_vec();
    for class in &view.policy.classes {
        let (Some(per_second), sla) = (inflow.get(&class.name), class.sla.as_secs_f64()) else { continue };
        let others = demand.iter().filter(|bucket| bucket.class != class.name);
        let last = others.map(|bucket| view.until(bucket.due)).fold(0.0, f64::max);
        let portion = sla / PORTIONS;
        // Each portion is due when the middle of it is.
        let dues = (0..).map(|k| sla + (f64::from(k) + 0.5) * portion).take_while(|due| *due < last);
        all.extend(dues.map(|due| Bucket {
            class: &class.name,
            model: "",
            rule: class.capacity,
            sla,
            due: view.at(due),
            tasks: 1,
            each: per_second * portion,
            load: 0.0,
            expected: true,
        }));
    }
    crate::demand::in_order(&mut all);
    all
}
