//! Writes what belongs to a WorkerPool: its status, the Secret that tells its workers where the queue is, and the
//! ConfigMap that keeps what scaling has learned.
//!
//! The Secret and the ConfigMap carry the pool as their owner. One of the same name that is somebody else's is left
//! alone: each is changed only if its owner is this very pool, which the API server checks.

use std::{collections::BTreeMap, fmt::Debug};

use crds::{WorkerPool, WorkerPoolStatus, names};
use futures::{Stream, StreamExt as _};
use json_patch::{AddOperation, Patch as JsonPatch, PatchOperation, TestOperation, jsonptr::PointerBuf};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    core::{NamespaceResourceScope, ObjectMeta},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{Failure, Sender, Server, patch};
use crate::{index::PoolKey, workerpool::pod::secret_name};

/// The metrics' label of this executor.
const NAME: &str = "pools";
/// Requests under way at once.
const AT_ONCE: usize = 8;
/// Work that waits at most.
const WAITING: usize = 1024;
/// The ConfigMap's key.
const MEMORY: &str = "memory.json";

/// What to do for a pool.
#[derive(Debug)]
pub(crate) enum PoolOrder {
    /// Replace its status, on this version of it.
    Status { version: String, status: Box<WorkerPoolStatus> },
    /// Create its Secret, or bring it up to date.
    Secret { owner: OwnerReference, data: BTreeMap<String, ByteString> },
    /// Read what scaling has learned.
    Recall { uid: String },
    /// Keep what scaling has learned.
    Remember { owner: OwnerReference, memory: String },
}

/// How it went.
#[derive(Debug)]
pub(crate) enum PoolAnswer {
    /// `false`: not written; the next plan writes another.
    Status(bool),
    Secret(SecretState),
    /// `None`: nothing is kept.
    Recalled(Result<Option<String>, Failure>),
    Remembered,
}

/// Whether workers find their queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretState {
    Written,
    /// The name is taken by somebody else's, and what to do.
    Conflict(String),
    /// It may be tried again, and why.
    Failed(String),
}

pub(crate) type Work = (PoolKey, PoolOrder, mpsc::UnboundedSender<PoolAnswer>);

/// Takes work.
pub(crate) type PoolWriter = Sender<Work>;

/// The name of the ConfigMap with what scaling has learned.
fn memory_name(pool: &str) -> String {
    format!("imagejob-{pool}-memory")
}

/// The executor, and its work.
pub(crate) fn open(server: Server) -> (PoolWriter, impl Future<Output = ()>) {
    let (writer, orders) = Sender::new(server.clone(), NAME, WAITING);
    (writer, run(server, orders))
}

async fn run(server: Server, orders: impl Stream<Item = Work>) {
    let carry_out = |(pool, order, answers): Work| {
        let server = &server;
        async move {
            let answer = carry_out(server, &pool, order).await;
            // A closed channel means that the pool is gone.
            let _ = answers.send(answer);
        }
    };
    orders.for_each_concurrent(AT_ONCE, carry_out).await;
}

async fn carry_out(server: &Server, pool: &PoolKey, order: PoolOrder) -> PoolAnswer {
    match order {
        PoolOrder::Status { version, status } => {
            PoolAnswer::Status(write_status(server, pool, version, &status).await)
        }
        PoolOrder::Secret { owner, data } => {
            PoolAnswer::Secret(write_secret(server, pool, owner, data).await)
        }
        PoolOrder::Recall { uid } => PoolAnswer::Recalled(recall(server, pool, &uid).await),
        PoolOrder::Remember { owner, memory } => {
            let result = remember(server, pool, owner, memory).await;
            if let Err(error) = &result {
                tracing::warn!(%pool, %error, "what scaling has learned is not kept yet");
            }
            PoolAnswer::Remembered
        }
    }
}

async fn write_status(server: &Server, pool: &PoolKey, version: String, status: &WorkerPoolStatus) -> bool {
    let api: Api<WorkerPool> = Api::namespaced(server.client.clone(), &pool.namespace);
    let patch = match patch::status(version, status) {
        Ok(patch) => Patch::Json::<()>(patch),
        Err(error) => {
            tracing::error!(%pool, %error, "a pool's status does not serialise");
            return false;
        }
    };
    match server.call(NAME, api.patch_status(&pool.name, &PatchParams::default(), &patch)).await {
        Ok(_) => {
            server.metrics.status_writes.with_label_values(&["workerpool"]).inc();
            true
        }
        // Somebody changed the pool meanwhile; the change wakes its planner.
        Err(Failure::Api(kube::Error::Api(status))) if status.is_conflict() || status.is_not_found() => false,
        Err(error) => {
            tracing::warn!(%pool, %error, "the pool's status is not written yet");
            false
        }
    }
}

async fn write_secret(
    server: &Server,
    pool: &PoolKey,
    owner: OwnerReference,
    data: BTreeMap<String, ByteString>,
) -> SecretState {
    let name = secret_name(&pool.name);
    let new = |metadata| Secret { metadata, data: Some(data.clone()), ..Secret::default() };
    let owned = Owned { server, pool, name: &name, owner };
    match owned.write("data", &data, new).await {
        Ok(true) => SecretState::Written,
        Ok(false) => SecretState::Conflict(format!(
            "Secret {}/{name} does not belong to this pool, and its workers need that name. An earlier pool's Secret goes \
             with that pool; delete or rename any other, or make the pool under another name",
            pool.namespace
        )),
        Err(error) => SecretState::Failed(error.to_string()),
    }
}

async fn recall(server: &Server, pool: &PoolKey, uid: &str) -> Result<Option<String>, Failure> {
    let api: Api<ConfigMap> = Api::namespaced(server.client.clone(), &pool.namespace);
    let kept = server.call(NAME, api.get_opt(&memory_name(&pool.name))).await?;
    // A pool made again under its name begins anew.
    let of_this_pool = |map: &ConfigMap| map.owner_references().iter().any(|owner| owner.uid == uid);
    Ok(kept.filter(of_this_pool).and_then(|map| map.data?.remove(MEMORY)))
}

async fn remember(
    server: &Server,
    pool: &PoolKey,
    owner: OwnerReference,
    memory: String,
) -> Result<(), Failure> {
    let name = memory_name(&pool.name);
    let data = BTreeMap::from([(MEMORY.to_owned(), memory)]);
    let new = |metadata| ConfigMap { metadata, data: Some(data.clone()), ..ConfigMap::default() };
    Owned { server, pool, name: &name, owner }.write("data", &data, new).await.map(drop)
}

/// An object that belongs to a pool.
struct Owned<'a> {
    server: &'a Server,
    pool: &'a PoolKey,
    name: &'a str,
    owner: OwnerReference,
}

impl Owned<'_> {
    /// Changes one field, or creates the object. `false`: the name is somebody else's.
    async fn write<K>(
        &self,
        field: &str,
        value: &impl Serialize,
        new: impl Fn(ObjectMeta) -> K,
    ) -> Result<bool, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.server.client.clone(), &self.pool.namespace);
        let patch = self.patch(field, serde_json::to_value(value).map_err(kube::Error::SerdeError)?);
        let params = PatchParams::default();
        let patched = api.patch(self.name, &params, &patch);
        match self.server.call(NAME, patched).await {
            Ok(_) => Ok(true),
            Err(Failure::Api(kube::Error::Api(status))) if status.is_not_found() => {
                let (params, object) = (PostParams::default(), new(self.metadata()));
                let created = api.create(&params, &object);
                match self.server.call(NAME, created).await {
                    Ok(_) => Ok(true),
                    // It came to be just now: the next time tells whose it is.
                    Err(Failure::Api(kube::Error::Api(status))) if status.is_already_exists() => Ok(true),
                    Err(error) => Err(error),
                }
            }
            // 422: the owner is not this pool. 403: an admission policy says the same.
            Err(Failure::Api(kube::Error::Api(status))) if status.code == 422 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Only if the owner is this pool.
    fn patch(&self, field: &str, value: Value) -> Patch<()> {
        let pointer = |path: &[&str]| PointerBuf::from_tokens(path.iter().copied());
        let path = pointer(&["metadata", "ownerReferences", "0", "uid"]);
        let owner = TestOperation { path, value: Value::String(self.owner.uid.clone()) };
        let set = AddOperation { path: pointer(&[field]), value };
        Patch::Json(JsonPatch(vec![PatchOperation::Test(owner), PatchOperation::Add(set)]))
    }

    fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.name.to_owned()),
            labels: Some(BTreeMap::from([
                (names::LABEL_MANAGED_BY.to_owned(), names::FIELD_MANAGER.to_owned()),
                (names::LABEL_POOL.to_owned(), self.pool.name.to_string()),
            ])),
            owner_references: Some(vec![self.owner.clone()]),
            ..ObjectMeta::default()
        }
    }
}
