//! What is learned from workers that come up.

use jiff::Timestamp;
use policy::Sample;
use queue::WorkerId;

use super::Fleet;
use crate::{
    capacity, node,
    workerpool::observe::{Observed, waited_for_new_machine},
};

impl Fleet {
    /// A worker seen on a machine for the first time tells how long machines take; not so those that were there before us.
    pub(super) fn learn_placements(&mut self, observed: &Observed) {
        let first_look = self.state.placed.is_none();
        let placed = self.state.placed.get_or_insert_default();
        for record in observed.workers.values().filter(|record| record.node.is_some()) {
            if placed.insert(WorkerId(record.name.clone()))
                && !first_look
                && let Some(took) = waited_for_new_machine(record)
            {
                let capacity = capacity::to_policy(record.capacity);
                self.state.samples.push(Sample::Placed { capacity, took });
            }
        }
        placed.retain(|id| observed.workers.contains_key(&id.0));
    }

    /// A worker seen ready for the first time tells how long starting takes; not so those that were there before us.
    pub(super) fn learn_start_up(&mut self, observed: &Observed, now: Timestamp) {
        if observed.stats.is_none() {
            return;
        }
        let now = node::time(now);
        let first_look = self.state.up.is_none();
        let up = self.state.up.get_or_insert_default();
        for worker in &observed.seen.workers {
            if worker.is_up()
                && up.insert(WorkerId(worker.id.0.clone()))
                && !first_look
                && observed.workers.contains_key(&worker.id.0)
            {
                let took = now.since(worker.created);
                self.state.samples.push(Sample::Started { capacity: worker.capacity, took });
            }
        }
        up.retain(|id| observed.seen.workers.iter().any(|worker| worker.id.0 == id.0));
    }
}
