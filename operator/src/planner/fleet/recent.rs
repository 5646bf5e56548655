//! What a planner ordered a moment ago, and what neither the watch nor the queue shows yet.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use crds::Capacity;
use jiff::Timestamp;
use queue::WorkerId;
use tokio::time::Instant;

use crate::{
    index::{Start, WorkerRecord},
    node::karpenter::Awaited,
};

/// A Pod that the watch does not show after this long is not there.
const SHOWS_WITHIN: Duration = Duration::from_secs(60);
/// A change of a Pod that it does not show after this long is ordered again.
const CHANGES_WITHIN: Duration = Duration::from_secs(5);
/// An order to a worker that was not answered after this long is given again.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Recent orders of one pool.
#[derive(Debug, Default)]
pub(super) struct Recent {
    created: HashMap<String, Coming>,
    /// How Pods were to be changed.
    changed: HashMap<(String, Change), Instant>,
    told: HashMap<WorkerId, Told>,
    /// Workers that will never claim again, and by which order. A snapshot does not show those that never claimed.
    discharged: HashMap<WorkerId, policy::Order>,
}

/// A change of a Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Change {
    Protect,
    Delete,
}

/// A worker whose Pod was ordered.
#[derive(Debug)]
struct Coming {
    record: WorkerRecord,
    ordered: Instant,
}

/// An order to a worker.
#[derive(Debug)]
struct Told {
    order: policy::Order,
    ordered: Instant,
    /// When the queue had it; a snapshot read since then shows it.
    answered: Option<Instant>,
}

/// A worker that is to be.
pub(super) struct NewWorker {
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) capacity: Capacity,
    pub(super) zone: Option<String>,
    pub(super) model: Option<String>,
    pub(super) template: String,
}

impl Recent {
    pub(super) fn create(&mut self, worker: NewWorker, now: Timestamp) {
        let NewWorker { name, owner, capacity, zone, model, template } = worker;
        let record = WorkerRecord {
            name: name.clone(),
            uid: String::new(),
            owner: Some(owner),
            capacity,
            zone,
            node: None,
            model,
            created: Some(now),
            scheduled: None,
            node_created: None,
            awaited: Awaited::default(),
            deleting: false,
            template: Some(template),
            sign: None,
            left_behind: false,
            start: Start::Fine,
            protection: None,
        };
        self.created.insert(name, Coming { record, ordered: Instant::now() });
    }

    /// The API server did not take a Pod; what it was to be.
    pub(super) fn not_created(&mut self, name: &str) -> Option<WorkerRecord> {
        self.created.remove(name).map(|coming| coming.record)
    }

    /// The workers that the watch shows, and those it will show in a moment.
    pub(super) fn with_created(
        &mut self,
        mut shown: Vec<WorkerRecord>,
        was_deleted: impl Fn(&str) -> bool,
    ) -> Vec<WorkerRecord> {
        let names: HashSet<&str> = shown.iter().map(|worker| worker.name.as_str()).collect();
        self.created.retain(|name, coming| {
            !names.contains(name.as_str()) && coming.ordered.elapsed() < SHOWS_WITHIN && !was_deleted(name)
        });
        shown.extend(self.created.values().map(|coming| coming.record.clone()));
        shown
    }

    /// Whether a Pod may be changed so now; if so, it is noted.
    pub(super) fn may_change(&mut self, pod: &str, change: Change) -> bool {
        self.changed.retain(|_, at| at.elapsed() < CHANGES_WITHIN);
        let key = (pod.to_owned(), change);
        let may = !self.changed.contains_key(&key);
        if may {
            self.changed.insert(key, Instant::now());
        }
        may
    }

    /// A worker is being told.
    pub(super) fn tell(&mut self, worker: WorkerId, order: policy::Order) {
        self.told.insert(worker, Told { order, ordered: Instant::now(), answered: None });
    }

    /// Whether an order to it is on its way.
    pub(super) fn is_being_told(&self, worker: &WorkerId) -> bool {
        self.told.get(worker).is_some_and(|told| told.answered.is_none())
    }

    /// The queue has the order.
    pub(super) fn answered(&mut self, worker: &WorkerId, at: Instant) {
        if let Some(told) = self.told.get_mut(worker) {
            told.answered = Some(at);
        }
    }

    /// The order did not reach it, or does not hold.
    pub(super) fn not_told(&mut self, worker: &WorkerId) {
        self.told.remove(worker);
    }

    /// The queue has an order by which it never claims again.
    pub(super) fn discharge(&mut self, worker: WorkerId, order: policy::Order) {
        self.discharged.insert(worker, order);
    }

    /// What a worker was told that a snapshot whose reading began then does not show.
    pub(super) fn order_of(&self, worker: &WorkerId) -> Option<policy::Order> {
        let told = self.told.get(worker).map(|told| &told.order);
        self.discharged.get(worker).or(told).copied()
    }

    /// Forgets what a snapshot shows by now, and workers that are gone.
    pub(super) fn settle(&mut self, read_at: Instant, is_here: impl Fn(&WorkerId) -> bool) {
        self.told.retain(|_, told| match told.answered {
            Some(answered) => answered >= read_at,
            None => told.ordered.elapsed() < ANSWERED_WITHIN,
        });
        self.discharged.retain(|worker, _| is_here(worker));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(recent: &mut Recent, name: &str) {
        let worker = NewWorker {
            name: name.into(),
            owner: "pool".into(),
            capacity: Capacity::Spot,
            zone: None,
            model: None,
            template: "t".into(),
        };
        recent.create(worker, Timestamp::UNIX_EPOCH);
    }

    fn count(recent: &mut Recent, shown: &[&WorkerRecord], deleted: bool) -> usize {
        recent.with_created(shown.iter().map(|worker| (*worker).clone()).collect(), |_| deleted).len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_counts_from_its_order_on_though_the_watch_lags() {
        let mut recent = Recent::default();
        create(&mut recent, "w");
        let shown = recent.created["w"].record.clone();
        assert_eq!(count(&mut recent, &[], false), 1);
        assert_eq!(count(&mut recent, &[&shown], false), 1, "it counts once");
        assert_eq!(count(&mut recent, &[], false), 0, "it was shown and is gone");
        create(&mut recent, "w");
        assert_eq!(count(&mut recent, &[], true), 0, "it came and went between two looks");
        create(&mut recent, "w");
        tokio::time::advance(SHOWS_WITHIN).await;
        assert_eq!(count(&mut recent, &[], false), 0, "it never came");
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_holds_until_a_snapshot_shows_it() {
        let (mut recent, worker) = (Recent::default(), WorkerId("w".into()));
        recent.tell(worker.clone(), policy::Order::Hold);
        assert!(recent.is_being_told(&worker));
        let answered = Instant::now();
        recent.answered(&worker, answered);
        recent.settle(answered, |_| true);
        assert_eq!(recent.order_of(&worker), Some(policy::Order::Hold), "read before or as it was told");
        recent.settle(answered + Duration::from_millis(1), |_| true);
        assert_eq!(recent.order_of(&worker), None);
        recent.tell(worker.clone(), policy::Order::Hold);
        tokio::time::advance(ANSWERED_WITHIN).await;
        recent.settle(answered, |_| true);
        assert!(!recent.is_being_told(&worker), "given again");
    }
}
