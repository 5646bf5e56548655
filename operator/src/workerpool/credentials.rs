//! The credentials of a pool's bucket, for the little the operator itself writes there (manifests).

use crds::WorkerPool;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _};
use store::Keys;

/// The keys of the pool's Secret; `None`: it names none, and the environment's are used.
pub(crate) async fn keys(pool: &WorkerPool, client: &Client) -> Result<Option<Keys>, String> {
    let Some(reference) = &pool.spec.output.credentials_secret_ref else { return Ok(None) };
    let namespace = pool.namespace().unwrap_or_default();
    let at = format!("Secret {namespace}/{}", reference.name);
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let secret = api.get(&reference.name).await.map_err(|error| format!("{at}: {error}"))?;
    let data = secret.data.unwrap_or_default();
    let text = |key: &str| data.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
    let needed = |key: &str| text(key).ok_or_else(|| format!("{at} has no key {key}"));
    Ok(Some(Keys {
        access_key_id: needed("AWS_ACCESS_KEY_ID")?,
        secret_access_key: needed("AWS_SECRET_ACCESS_KEY")?,
        session_token: text("AWS_SESSION_TOKEN"),
    }))
}
