//! Creates, deletes and annotates workers' Pods. They go before everything else.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    core::Status,
};
use tokio::sync::mpsc;

use super::{Failure, Sender, Server};
use crate::{index::PoolKey, node::Protection};

/// The metrics' label of this executor.
const NAME: &str = "pods";
/// Requests under way at once.
const AT_ONCE: usize = 16;
/// Work that waits at most.
const WAITING: usize = 256;

/// What to do to a Pod.
#[derive(Debug)]
pub(crate) enum PodOrder {
    Create(Box<Pod>),
    /// `grace` in seconds; `None`: the Pod's own.
    Delete {
        name: String,
        uid: String,
        grace: Option<u32>,
    },
    /// Say to autoscalers whether its machine may be taken.
    Protect {
        name: String,
        protection: Protection,
    },
}

/// How it went; a deletion or annotation that failed is told by the Pod itself, which is looked at again.
#[derive(Debug)]
pub(crate) struct PodAnswer {
    pub(crate) name: String,
    pub(crate) created: Created,
}

/// How the creation of a Pod went.
#[derive(Debug)]
pub(crate) enum Created {
    Yes,
    /// The API server does not take it, and why.
    Refused(String),
    /// Whether it is there is not known: the watch will tell.
    Unanswered,
}

pub(crate) type Work = (PoolKey, PodOrder, mpsc::UnboundedSender<PodAnswer>);

/// Takes work; the next plan orders again what does not fit.
pub(crate) type Pods = Sender<Work>;

/// The executor, and its work.
pub(crate) fn open(server: Server) -> (Pods, impl Future<Output = ()>) {
    let (pods, orders) = Sender::new(server.clone(), NAME, WAITING);
    let run = async move { orders.for_each_concurrent(AT_ONCE, |work| carry_out(&server, work)).await };
    (pods, run)
}

async fn carry_out(server: &Server, (pool, order, answers): Work) {
    let api: Api<Pod> = Api::namespaced(server.client.clone(), &pool.namespace);
    match order {
        PodOrder::Create(pod) => {
            let name = pod.name_any();
            let created = create(server, &api, &pod).await;
            // A closed channel means that the pool is gone.
            let _ = answers.send(PodAnswer { name, created });
        }
        PodOrder::Delete { name, uid, grace } => {
            let params = DeleteParams {
                grace_period_seconds: grace,
                preconditions: Some(Preconditions { uid: Some(uid), resource_version: None }),
                ..DeleteParams::default()
            };
            report(&pool, &name, server.call(NAME, api.delete(&name, &params)).await.map(drop));
        }
        PodOrder::Protect { name, protection } => {
            let patch = Patch::Merge(protection.change());
            let params = PatchParams::default();
            let patched = api.patch_metadata(&name, &params, &patch);
            report(&pool, &name, server.call(NAME, patched).await.map(drop));
        }
    }
}

async fn create(server: &Server, api: &Api<Pod>, pod: &Pod) -> Created {
    let _first = server.pods_first();
    match server.call(NAME, api.create(&PostParams::default(), pod)).await {
        Ok(_) => Created::Yes,
        Err(Failure::Api(kube::Error::Api(status))) if status.is_already_exists() => Created::Yes,
        Err(Failure::Api(kube::Error::Api(status))) => Created::Refused(why_not(&status)),
        Err(failure) => {
            tracing::warn!(pod = pod.name_any(), error = %failure, "whether a worker's Pod was created is not known");
            Created::Unanswered
        }
    }
}

/// What was to be done is seen to be undone, and ordered again.
fn report(pool: &PoolKey, name: &str, result: Result<(), Failure>) {
    match result {
        Ok(()) => {}
        Err(Failure::Api(kube::Error::Api(status))) if status.is_not_found() || status.is_conflict() => {}
        Err(failure) => tracing::warn!(%pool, name, error = %failure, "worker's Pod not changed yet"),
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

#[cfg(test)]
mod tests {
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
}
