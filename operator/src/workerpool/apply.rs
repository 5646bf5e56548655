//! Carries out what the policy decided: creates Pods, tells workers through the queue, deletes Pods.

use std::{sync::Mutex, time::Duration};

use crds::{WorkerPool, events::EventReason};
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{DeleteParams, PostParams, Preconditions},
};
use policy::{Action, Decision};
use queue::{Retired, WorkerId};

use super::{
    Error,
    memory::PoolState,
    observe::Observed,
    pod::{self, Shape},
    worker_prefix,
};
use crate::{
    capacity,
    context::{Context, PoolKey},
    events::{Kind, Notice},
    lock,
    words::images,
};

/// Pods created or deleted at once.
const CONCURRENCY: usize = 16;
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
    /// Carries out the decisions, in order. What the API server refuses does not keep the others from being
    /// done; without the queue none can be. The next reconcile goes on with the rest.
    pub(crate) async fn carry_out(&self, decisions: &[Decision]) -> Result<(), Error> {
        let mut outcome = Ok(());
        for decision in decisions {
            let labels =
                [self.key.to_string(), decision.action.label().to_owned(), decision.why.reason().to_owned()];
            self.context.metrics.scaling_actions.with_label_values(&labels).inc();
            tracing::info!(pool = %self.key, why = %decision.why, "{}", describe(&decision.action));
            match self.carry_out_one(decision).await {
                Ok(()) => {}
                Err(error @ Error::Queue(_)) => return Err(error),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    async fn carry_out_one(&self, Decision { action, why }: &Decision) -> Result<(), Error> {
        match action {
            Action::Start { capacity, zone, n, classes, model } => {
                let shape = |name| Shape {
                    name,
                    capacity: capacity::to_crd(*capacity),
                    zone: zone.as_deref(),
                    classes,
                    model: model.as_deref(),
                };
                self.start(*n, shape).await
            }
            Action::Retire { worker } => self.retire(&worker.0).await,
            Action::Hold { worker } => self.order(&worker.0, queue::Order::Hold).await,
            Action::Resume { worker } => self.order(&worker.0, queue::Order::Work).await,
            Action::Doom { worker, deadline } => {
                let deadline_ms = deadline.as_millis();
                self.order(&worker.0, queue::Order::Doomed { deadline_ms }).await?;
                let note = format!("{}: {why}", worker.0);
                self.tell(Kind::Warning, EventReason::WorkerDoomed, "Doom", note);
                Ok(())
            }
            Action::Evict { worker } => self.evict(&worker.0, &why.to_string()).await,
        }
    }

    async fn start<'a>(&self, n: u32, shape: impl Fn(String) -> Shape<'a>) -> Result<(), Error> {
        let api = self.pods();
        let image = &self.context.config.worker_image;
        let mut pods = Vec::new();
        for _ in 0..n {
            let id = uuid::Uuid::new_v4().simple().to_string();
            let mut shape = shape(String::new());
            let prefix = worker_prefix(&self.pool.name_any(), shape.capacity);
            shape.name = format!("{prefix}{}", &id[..NAME_DIGITS]);
            pods.push(pod::build(self.pool, &shape, image).map_err(Error::Template)?);
        }
        let create = |pod: Pod| {
            let api = api.clone();
            async move { api.create(&PostParams::default(), &pod).await }
        };
        let results: Vec<_> = stream::iter(pods).map(create).buffer_unordered(CONCURRENCY).collect().await;
        let mut refused = None;
        {
            let mut state = lock(self.state);
            for result in results {
                match result {
                    Ok(pod) => state.created(pod),
                    Err(error) => refused = Some(error),
                }
            }
            state.refused = refused.as_ref().map(refusal);
        }
        match refused {
            None => Ok(()),
            Some(error) => {
                self.tell(Kind::Warning, EventReason::PodRefused, "CreatePod", refusal(&error));
                Err(Error::Api(error))
            }
        }
    }

    /// Only the queue can say that a worker holds nothing; it then claims nothing more.
    pub(crate) async fn retire(&self, worker: &str) -> Result<(), Error> {
        let id = WorkerId(worker.to_owned());
        match self.context.queue(self.key).try_retire(&id).await.map_err(Error::Queue)? {
            Retired::Busy => Ok(()),
            Retired::Yes => self.delete_pod(worker).await,
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
        self.tell(Kind::Warning, EventReason::WorkerLost, "Evict", note);
        self.delete_pod(worker).await
    }

    async fn delete_pod(&self, worker: &str) -> Result<(), Error> {
        let Some(pod) = self.observed.pods.get(worker) else { return Ok(()) };
        if pod.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.pods().delete(worker, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(Error::Api(error)),
        }
    }

    pub(crate) fn tell(&self, kind: Kind, reason: EventReason, action: &'static str, note: String) {
        let notice = Notice { kind, reason: reason.as_str().to_owned(), action, note };
        self.context.events.tell(&self.pool.object_ref(&()), &notice);
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.context.client.clone(), &self.key.namespace)
    }
}

fn describe(action: &Action) -> String {
    match action {
        Action::Start { capacity, zone, n, classes: _, model: _ } => {
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
fn refusal(error: &kube::Error) -> String {
    let kube::Error::Api(status) = error else { return error.to_string() };
    let name = status.details.as_ref().map(|details| details.name.as_str()).filter(|name| !name.is_empty());
    match name {
        Some(name) => status.message.replace(&format!(" {name:?}"), ""),
        None => status.message.clone(),
    }
}

/// How long until a pool is looked at again: soon while anything is leased, for the reaper's sake.
pub(crate) fn look_again(wake_after: Duration, observed: &Observed) -> Duration {
    const REAP_EVERY: Duration = Duration::from_secs(1);
    const NEVER_LONGER: Duration = Duration::from_secs(15);
    let active = observed.stats.as_ref().is_none_or(|stats| !stats.leases.is_empty())
        || !observed.seen.workers.is_empty();
    if active { wake_after.min(REAP_EVERY) } else { wake_after.min(NEVER_LONGER) }
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
            refusal(&kube::Error::Api(serde_json::from_value(status).unwrap()))
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
            classes: vec![],
            model: None,
        };
        assert_eq!(describe(&start(1, None)), "start 1 on-demand worker");
        assert_eq!(describe(&start(3, Some("eu-1a"))), "start 3 on-demand workers in zone eu-1a");
        assert_eq!(describe(&Action::Evict { worker: WorkerId("w".into()) }), "evict w");
    }
}
