//! Carries out what the policy decided: orders Pods, and tells workers through the queue.

use crds::events::EventReason;
use jiff::Timestamp;
use policy::{Action, Decision, Phase, Plan};
use queue::WorkerId;

use super::{
    Fleet, Observed,
    recent::{Change, NewWorker},
};
use crate::{
    capacity,
    executors::{events::Lane, pods::PodOrder, pools::SecretState},
    index::{PoolRecord, WorkerRecord},
    keeper::{Order, WorkerAnswer},
    notice::Notice,
    words::images,
    workerpool::{
        pod::{self, Shape},
        protection::protection,
        template::Template,
    },
};

/// Hex digits that make a worker's name its own for all time: 2^40 values.
const NAME_DIGITS: usize = 10;

impl Fleet {
    /// Orders what was decided, and says what was ordered of it. What does not fit now the next plan decides again.
    pub(super) fn act(
        &mut self,
        pool: &PoolRecord,
        observed: &Observed,
        template: &Template,
        decisions: Vec<Decision>,
        now: Timestamp,
    ) -> Vec<Decision> {
        // A worker reads the Secret when its container starts, so one that is somebody else's, e.g. of an earlier pool of
        // this name, would send it to the wrong place for good.
        let has_secret = !matches!(self.state.secret, Some(SecretState::Conflict(_)));
        let can_start = self.unknown().is_none() && self.invalid_template().is_none() && has_secret;
        let mut done = Vec::new();
        for decision in decisions {
            let ordered = match &decision.action {
                Action::Start { .. } if !can_start => None,
                Action::Start { .. } => self.start(pool, template, &decision.action, now),
                _ => self.order(observed, &decision).then(|| decision.action.clone()),
            };
            if let Some(action) = ordered {
                done.push(self.record(Decision { action, ..decision }));
            }
        }
        done
    }

    /// Why no worker can be made of the pool's spec.
    pub(super) fn invalid_template(&self) -> Option<&str> {
        self.state.template.as_ref()?.invalid.as_deref()
    }

    /// What of the pool's spec this version does not know.
    pub(super) fn unknown(&self) -> Option<&str> {
        self.state.template.as_ref()?.unknown.as_deref()
    }

    /// The API server did not take a Pod. When it is tried again the policy decides.
    pub(super) fn refused(&mut self, name: &str, why: String) {
        let Some(worker) = self.state.recent.not_created(name) else { return };
        if self.state.refusal.as_ref() != Some(&why) {
            tracing::warn!(pool = %self.key, "a worker's Pod is refused: {why}");
            self.notify(&Notice::warning(EventReason::PodRefused, "CreatePod", why.clone()));
            self.state.refusal = Some(why.clone());
        }
        self.state.refused.push(policy::Refused {
            capacity: capacity::to_policy(worker.capacity),
            zone: worker.zone,
            workers: 1,
            // Those that were ordered together are refused together.
            at: crate::node::time(worker.created.unwrap_or_else(Timestamp::now)),
            why,
        });
    }

    /// Forgets that Pods were refused once none is wanted.
    pub(super) fn settle_refusal(&mut self, plan: &Plan) {
        let waits = plan.report.failing.iter().any(|failing| failing.next_try.is_some());
        let starts = plan.actions.iter().any(|decision| matches!(decision.action, Action::Start { .. }));
        if !waits && !starts && self.state.refused.is_empty() {
            self.state.refusal = None;
        }
    }

    fn record(&self, done: Decision) -> Decision {
        let labels = [self.key.to_string(), done.action.label().to_owned(), done.why.reason().to_owned()];
        self.metrics.scaling_actions.with_label_values(&labels).inc();
        tracing::info!(pool = %self.key, why = %done.why, "{}", describe(&done.action));
        done
    }

    /// Orders Pods; the action as far as they were ordered.
    fn start(
        &mut self,
        pool: &PoolRecord,
        template: &Template,
        action: &Action,
        now: Timestamp,
    ) -> Option<Action> {
        let Action::Start { capacity, zone, n, model } = action else { return None };
        let mut ordered = 0;
        for _ in 0..*n {
            let id = uuid::Uuid::new_v4().simple().to_string();
            let fleet = capacity::to_crd(*capacity);
            let name = format!("{}{}", pod::name_prefix(&self.key.name, fleet), &id[..NAME_DIGITS]);
            let shape =
                Shape { name: name.clone(), capacity: fleet, zone: zone.as_deref(), model: model.as_deref() };
            // What is wrong with it the pool's status says, as long as it lasts.
            let Ok(built) = pod::build(&pool.object, &shape, &self.given, template) else { break };
            if !self.order_pod(PodOrder::Create(Box::new(built))) {
                break;
            }
            let worker = NewWorker {
                name,
                owner: pool.uid.to_string(),
                capacity: fleet,
                zone: zone.clone(),
                model: model.clone(),
                template: template.text(fleet),
            };
            self.state.recent.create(worker, now);
            ordered += 1;
        }
        let (zone, model) = (zone.clone(), model.clone());
        (ordered > 0).then_some(Action::Start { capacity: *capacity, zone, n: ordered, model })
    }

    /// Tells a worker what is to become of it. `false`: it is being told, or can't be now.
    fn order(&mut self, observed: &Observed, Decision { action, why, look_again: _ }: &Decision) -> bool {
        match action {
            Action::Start { .. } => false,
            Action::Retire { worker } => self.retire(&worker.0),
            Action::Hold { worker } => self.tell_worker(&worker.0, queue::Order::Hold, policy::Order::Hold),
            Action::Resume { worker } => self.tell_worker(&worker.0, queue::Order::Work, policy::Order::Work),
            Action::Doom { worker, deadline } => {
                let left = deadline.since(crate::node::time(Timestamp::now()));
                let doomed = queue::Order::Doomed { left };
                let told = self.tell_worker(&worker.0, doomed, policy::Order::Doomed);
                if told {
                    let note = format!("{}: {why}{}", worker.0, observed.cause(worker));
                    self.notify(&Notice::warning(EventReason::WorkerDoomed, "Doom", note));
                }
                told
            }
            Action::Evict { worker } => self.evict(&worker.0, format!("{why}{}", observed.cause(worker))),
        }
    }

    fn tell_worker(&mut self, worker: &str, order: queue::Order, told: policy::Order) -> bool {
        let id = WorkerId(worker.to_owned());
        self.send(&id, Order::Worker { worker: id.clone(), order }, told)
    }

    /// Only the queue can say that a worker holds nothing; it then claims nothing more, and its Pod goes.
    fn retire(&mut self, worker: &str) -> bool {
        let id = WorkerId(worker.to_owned());
        self.send(&id, Order::Retire { worker: id.clone() }, policy::Order::Retire)
    }

    fn evict(&mut self, worker: &str, why: String) -> bool {
        let id = WorkerId(worker.to_owned());
        let ordered = self.send(&id, Order::Evict { worker: id.clone() }, policy::Order::Evicted);
        if ordered {
            self.state.evictions.insert(id, why);
        }
        ordered
    }

    fn send(&mut self, worker: &WorkerId, order: Order, told: policy::Order) -> bool {
        if self.state.recent.is_being_told(worker) || self.keeper.orders.try_send(order).is_err() {
            return false;
        }
        self.state.recent.tell(worker.clone(), told);
        true
    }

    /// The queue has the order.
    pub(super) fn hear_worker(&mut self, answer: WorkerAnswer) {
        match answer {
            WorkerAnswer::Told { worker, at } => self.state.recent.answered(&worker, at),
            WorkerAnswer::Failed { worker } => self.state.recent.not_told(&worker),
            WorkerAnswer::Retired { worker, retired: false, at: _ } => self.state.recent.not_told(&worker),
            WorkerAnswer::Retired { worker, retired: true, at } => {
                self.state.recent.answered(&worker, at);
                self.state.recent.discharge(worker.clone(), policy::Order::Retire);
                self.delete(&worker.0, None);
            }
            WorkerAnswer::Evicted { worker, requeued, at } => {
                self.state.recent.answered(&worker, at);
                self.state.recent.discharge(worker.clone(), policy::Order::Evicted);
                if requeued > 0 {
                    let labels = [self.key.to_string(), "evicted".to_owned()];
                    self.metrics.requeued.with_label_values(&labels).inc_by(u64::from(requeued));
                }
                let why = self.state.evictions.remove(&worker).unwrap_or_default();
                let note = format!("{}: {why}; {} back on the queue", worker.0, images(requeued));
                self.notify(&Notice::warning(EventReason::WorkerLost, "Evict", note));
                self.delete(&worker.0, None);
            }
        }
    }

    /// Tells autoscalers whose machine not to take away.
    pub(super) fn protect(&mut self, observed: &Observed, now: Timestamp) {
        let now = crate::node::time(now);
        for worker in &observed.seen.workers {
            let Some(record) = observed.workers.get(&worker.id.0) else { continue };
            let right = protection(worker, now);
            // Without the queue nobody can be seen at work, nor idle.
            let known = observed.stats.is_some() || right == crate::node::Protection::Off;
            let is_there = !record.deleting && !record.uid.is_empty();
            if is_there
                && known
                && record.protection != Some(right)
                && self.state.recent.may_change(&record.name, Change::Protect)
            {
                let order = PodOrder::Protect { name: record.name.clone(), protection: right };
                self.order_pod(order);
            }
        }
    }

    /// Deletes the Pods of workers that were retired or evicted, should that have failed, and those that nobody else
    /// deletes: Kubernetes' own collector of Pods without a node takes about a minute (40 s and up to 20 s more:
    /// `pkg/controller/podgc`), in which they count against quotas and the pool is not back at zero.
    pub(super) fn remove_pods(&mut self, observed: &Observed) {
        for worker in &observed.seen.workers {
            let Some(record) = observed.workers.get(&worker.id.0).filter(|record| !record.uid.is_empty())
            else {
                continue;
            };
            let goes = matches!(worker.order, policy::Order::Retire | policy::Order::Evicted);
            let being_told = self.state.recent.is_being_told(&WorkerId(worker.id.0.clone()));
            if record.left_behind {
                self.delete_pod(record, Some(0));
            } else if goes && !record.deleting && !being_told && worker.phase != Phase::Busy {
                self.delete_pod(record, None);
            }
        }
    }

    fn delete(&mut self, worker: &str, grace: Option<u32>) {
        let records = self.index.workers.of_pool(&self.key, Timestamp::now());
        if let Some(record) = records.into_iter().find(|record| record.name == worker && !record.deleting) {
            self.delete_pod(&record, grace);
        }
    }

    fn delete_pod(&mut self, record: &WorkerRecord, grace: Option<u32>) {
        if self.state.recent.may_change(&record.name, Change::Delete) {
            let order = PodOrder::Delete { name: record.name.clone(), uid: record.uid.clone(), grace };
            self.order_pod(order);
        }
    }

    pub(super) fn notify(&self, notice: &Notice) {
        if let Some(pool) = self.index.pools.get(&self.key) {
            self.events.tell(Lane::Pool, &kube::Resource::object_ref(&*pool.object, &()), notice);
        }
    }
}

fn describe(action: &Action) -> String {
    match action {
        Action::Start { capacity, zone, n, model: _ } => {
            let place = zone.as_ref().map_or_else(String::new, |zone| format!(" in zone {zone}"));
            let workers = if *n == 1 { "worker" } else { "workers" };
            format!("start {n} {capacity} {workers}{place}")
        }
        Action::Retire { worker }
        | Action::Hold { worker }
        | Action::Resume { worker }
        | Action::Doom { worker, deadline: _ }
        | Action::Evict { worker } => format!("{} {}", action.label(), worker.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_told_in_words() {
        let start = |n, zone: Option<&str>| Action::Start {
            capacity: policy::Capacity::OnDemand,
            zone: zone.map(str::to_owned),
            n,
            model: None,
        };
        assert_eq!(describe(&start(1, None)), "start 1 on-demand worker");
        assert_eq!(describe(&start(3, Some("eu-1a"))), "start 3 on-demand workers in zone eu-1a");
        let evict = Action::Evict { worker: policy::WorkerId("w".into()) };
        assert_eq!(describe(&evict), "evict w");
    }
}
