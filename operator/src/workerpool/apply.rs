//! Carries out what the policy decided: creates Pods, tells workers through the queue, deletes Pods.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crds::{WorkerPool, conditions::PoolReason, events::EventReason};
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{DeleteParams, PostParams, Preconditions},
    core::Status,
};
use policy::{Action, Decision};
use queue::{Retired, WorkerId};

use super::{
    Error, given,
    memory::PoolState,
    observe::Observed,
    pod::{self, Shape},
    refusal::{Refusal, Refusals},
    wishes, worker_prefix,
};
use crate::{
    capacity,
    context::{Context, PoolKey},
    events::Notice,
    lock,
    words::images,
};

/// Pods created or deleted at once.
pub(super) const CONCURRENCY: usize = 16;
/// Hex digits that make a worker's name its own for all time: 2^40 values.
const NAME_DIGITS: usize = 10;

/// One pool's reconcile, as the steps below need it.
pub(crate) struct Work<'a> {
    pub(crate) pool: &'a WorkerPool,
    pub(crate) key: &'a PoolKey,
    pub(crate) observed: &'a Observed,
    pub(crate) state: &'a Mutex<PoolState>,
    pub(crate) context: &'a Context,
}

impl Work<'_> {
    /// Carries out the decisions, in order, and says what was done of them. What the API server refuses does not
    /// keep the others from being done; without the queue none can be. The next reconcile goes on with the rest.
    pub(crate) async fn carry_out(&self, decisions: &[Decision]) -> (Vec<Decision>, Result<(), Error>) {
        let (mut done, mut outcome, mut refusal) = (Vec::new(), Ok(()), None);
        let tries = !self.rests(decisions);
        for decision in decisions {
            let result = match &decision.action {
                Action::Start { .. } if !tries => Ok(None),
                Action::Start { .. } => self.start(&decision.action, &mut refusal).await,
                _ => self.tell_worker(decision).await.map(|done| done.then(|| decision.action.clone())),
            };
            match result {
                Ok(None) => {}
                Ok(Some(action)) => done.push(self.record(Decision { action, ..decision.clone() })),
                Err(error) => {
                    let for_all = matches!(error, Error::Queue(_));
                    outcome = outcome.and(Err(error));
                    if for_all {
                        return (done, outcome);
                    }
                }
            }
        }
        if tries {
            self.refused(refusal);
        }
        (done, outcome)
    }

    /// Whether the last Pods were refused so short a time ago that no other is tried yet.
    fn rests(&self, decisions: &[Decision]) -> bool {
        let starts = decisions.iter().any(|decision| matches!(decision.action, Action::Start { .. }));
        starts && !self.rest().is_zero()
    }

    /// Until Pods are tried again; zero: now.
    pub(crate) fn rest(&self) -> Duration {
        let state = lock(self.state);
        let generation = self.pool.metadata.generation;
        state.refused.as_ref().map_or(Duration::ZERO, |refused| refused.rest(generation, Instant::now()))
    }

    fn refused(&self, refusal: Option<Refusal>) {
        if let Some(Refusal { reason, message }) = &refusal {
            tracing::warn!(pool = %self.key, reason = %reason, "no worker: {message}");
            if *reason == PoolReason::PodsRefused {
                self.tell(&Notice::warning(EventReason::PodRefused, "CreatePod", message.clone()));
            }
        }
        let mut state = lock(self.state);
        let before = state.refused.take();
        state.refused =
            refusal.map(|last| Refusals::after(before, last, self.pool.metadata.generation, Instant::now()));
    }

    fn record(&self, done: Decision) -> Decision {
        let labels = [self.key.to_string(), done.action.label().to_owned(), done.why.reason().to_owned()];
        self.context.metrics.scaling_actions.with_label_values(&labels).inc();
        tracing::info!(pool = %self.key, why = %done.why, "{}", describe(&done.action));
        done
    }

    /// Tells a worker what is to become of it; `false`: it is busy and stays.
    async fn tell_worker(&self, Decision { action, why, look_again: _ }: &Decision) -> Result<bool, Error> {
        match action {
            Action::Start { .. } => return Ok(false),
            Action::Retire { worker } => return self.retire(&worker.0).await,
            Action::Hold { worker } => self.order(&worker.0, queue::Order::Hold).await?,
            Action::Resume { worker } => self.order(&worker.0, queue::Order::Work).await?,
            Action::Doom { worker, deadline } => {
                let left = deadline.since(crate::node::time(jiff::Timestamp::now()));
                self.order(&worker.0, queue::Order::Doomed { left }).await?;
                let note = format!("{}: {why}{}", worker.0, self.observed.cause(worker));
                self.tell(&Notice::warning(EventReason::WorkerDoomed, "Doom", note));
            }
            Action::Evict { worker } => {
                self.evict(&worker.0, &format!("{why}{}", self.observed.cause(worker))).await?;
            }
        }
        Ok(true)
    }

    /// Creates Pods; the action as far as it was done, and in `refusal` why not all of it was.
    async fn start(&self, action: &Action, refusal: &mut Option<Refusal>) -> Result<Option<Action>, Error> {
        let Action::Start { capacity, zone, n, model } = action else { return Ok(None) };
        let classes = wishes::policy(self.pool).serves(*capacity);
        let api = self.pods();
        let mut pods = Vec::new();
        for _ in 0..*n {
            let id = uuid::Uuid::new_v4().simple().to_string();
            let capacity = capacity::to_crd(*capacity);
            let name = format!("{}{}", worker_prefix(&self.pool.name_any(), capacity), &id[..NAME_DIGITS]);
            let shape =
                Shape { name, capacity, zone: zone.as_deref(), classes: &classes, model: model.as_deref() };
            match pod::build(self.pool, &shape, given(&self.context.config)) {
                Ok(pod) => pods.push(pod),
                Err(error) => {
                    let message = error.to_string();
                    *refusal = Some(Refusal { reason: PoolReason::PodTemplateInvalid, message });
                    return Ok(None);
                }
            }
        }
        let create = |pod: Pod| {
            let api = api.clone();
            async move { api.create(&PostParams::default(), &pod).await }
        };
        let first = self.context.writes.pods_first();
        let results: Vec<_> = stream::iter(pods).map(create).buffer_unordered(CONCURRENCY).collect().await;
        drop(first);
        let mut created = 0;
        let mut unanswered = None;
        for result in results {
            match result {
                Ok(pod) => {
                    lock(self.state).created(pod);
                    created += 1;
                }
                Err(kube::Error::Api(status)) => {
                    *refusal = Some(Refusal { reason: PoolReason::PodsRefused, message: why_not(&status) });
                }
                Err(error) => unanswered = Some(error),
            }
        }
        match unanswered {
            Some(error) if created == 0 => Err(Error::Api(error)),
            _ if created == 0 => Ok(None),
            _ => Ok(Some(Action::Start {
                capacity: *capacity,
                zone: zone.clone(),
                n: created,
                model: model.clone(),
            })),
        }
    }

    /// Only the queue can say that a worker holds nothing; it then claims nothing more. `false`: it is busy.
    pub(crate) async fn retire(&self, worker: &str) -> Result<bool, Error> {
        let id = WorkerId(worker.to_owned());
        match self.context.queue(self.key).try_retire(&id).await.map_err(Error::Queue)? {
            Retired::Busy => Ok(false),
            Retired::Yes => self.delete_pod(worker).await.map(|()| true),
        }
    }

    async fn order(&self, worker: &str, order: queue::Order) -> Result<(), Error> {
        let id = WorkerId(worker.to_owned());
        self.context.queue(self.key).order(&id, order).await.map_err(Error::Queue)
    }

    async fn evict(&self, worker: &str, why: &str) -> Result<(), Error> {
        let id = WorkerId(worker.to_owned());
        let requeued = self.context.queue(self.key).evict(&id).await.map_err(Error::Queue)?;
        lock(self.state).evicted.insert(id);
        if requeued > 0 {
            let labels = [self.key.to_string(), "evicted".to_owned()];
            self.context.metrics.requeued.with_label_values(&labels).inc_by(u64::from(requeued));
        }
        let note = format!("{worker}: {why}; {} back on the queue", images(requeued));
        self.tell(&Notice::warning(EventReason::WorkerLost, "Evict", note));
        self.delete_pod(worker).await
    }

    async fn delete_pod(&self, worker: &str) -> Result<(), Error> {
        match self.observed.pods.get(worker) {
            Some(pod) if pod.metadata.deletion_timestamp.is_none() => self.delete(pod, None).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Kubernetes' own collector of such Pods takes about a minute (40 s and up to 20 s more: `pkg/controller/podgc`),
    /// in which they count against quotas and the pool is not back at zero.
    pub(crate) async fn remove_orphans(&self) -> Result<(), Error> {
        for pod in &self.observed.orphans {
            self.delete(pod, Some(0)).await?;
        }
        Ok(())
    }

    /// `grace` in seconds; `None`: the Pod's own.
    async fn delete(&self, pod: &Pod, grace: Option<u32>) -> Result<(), Error> {
        let params = DeleteParams {
            grace_period_seconds: grace,
            preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.pods().delete(&pod.name_any(), &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(Error::Api(error)),
        }
    }

    pub(crate) fn tell(&self, notice: &Notice) {
        self.context.events.tell(&self.pool.object_ref(&()), notice);
    }

    pub(super) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.context.client.clone(), &self.key.namespace)
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

/// Why the API server did not take a Pod, without the Pod's name: the same reason is then the same text.
fn why_not(status: &Status) -> String {
    let name = status.details.as_ref().map(|details| details.name.as_str()).filter(|name| !name.is_empty());
    match name {
        Some(name) => status.message.replace(&format!(" {name:?}"), ""),
        None => status.message.clone(),
    }
}

/// How long until a pool is looked at again: soon while anything is leased, for the reaper's sake, and when Pods that
/// were refused may be tried again after `rest`.
pub(crate) fn look_again(wake_after: Duration, rest: Duration, observed: &Observed) -> Duration {
    const REAP_EVERY: Duration = Duration::from_secs(1);
    const NEVER_LONGER: Duration = Duration::from_secs(15);
    let active = observed.stats.as_ref().is_none_or(|stats| !stats.leases.is_empty())
        || !observed.seen.workers.is_empty();
    let wait = wake_after.min(if active { REAP_EVERY } else { NEVER_LONGER });
    if rest.is_zero() { wait } else { wait.min(rest) }
}

#[cfg(test)]
mod tests {
    use policy::WorkerId;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_refusal_is_the_same_text_whatever_the_pod_is_called() {
        let refused = |name: &str| {
            let message = format!(
                "pods {name:?} is forbidden: exceeded quota: gpus, requested: 1, used: 4, limited: 4"
            );
            let status = json!({"status": "Failure", "message": message, "reason": "Forbidden", "code": 403,
                                "details": {"name": name, "kind": "pods"}});
            why_not(&serde_json::from_value(status).unwrap())
        };
        let message = "pods is forbidden: exceeded quota: gpus, requested: 1, used: 4, limited: 4";
        assert_eq!(refused("sd15-spot-0123456789"), message);
        assert_eq!(refused("sd15-spot-9876543210"), message);
    }

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
        assert_eq!(describe(&Action::Evict { worker: WorkerId("w".into()) }), "evict w");
    }
}
