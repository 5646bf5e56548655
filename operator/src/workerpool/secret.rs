//! The Secret that tells a pool's workers where the queue is. The URL may hold a password, so it does not stand
//! in the Pods; it lies in the pool's namespace, where they can read it, and goes with the pool.

use std::collections::BTreeMap;

use crds::{WorkerPool, names};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
    core::ObjectMeta,
};

/// The key within the Secret.
pub(crate) const KEY: &str = "url";

/// The Secret's name.
pub(crate) fn name(pool: &str) -> String {
    format!("{pool}-queue")
}

/// Creates the Secret or brings it up to date.
pub(crate) async fn apply(pool: &WorkerPool, url: &str, client: &Client) -> Result<(), kube::Error> {
    let name = name(&pool.name_any());
    let namespace = pool.namespace().unwrap_or_default();
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(BTreeMap::from([
                (names::LABEL_MANAGED_BY.to_owned(), names::FIELD_MANAGER.to_owned()),
                (names::LABEL_POOL.to_owned(), pool.name_any()),
            ])),
            owner_references: pool.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        string_data: Some(BTreeMap::from([(KEY.to_owned(), url.to_owned())])),
        ..Secret::default()
    };
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(&secret)).await.map(drop)
}
