//! Credentials for AWS, from Secrets.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use store::Keys;
use tokio::time::timeout;

/// For an answer of the cluster's API server.
const ANSWER: Duration = Duration::from_secs(5);

/// The keys in a Secret.
///
/// # Errors
/// Why they can't be read, for the administrator.
pub(crate) async fn keys(client: &Client, namespace: &str, name: &str) -> Result<Keys, String> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = timeout(ANSWER, api.get(name)).await.map_err(|_| "no answer in time".to_owned())?;
    let secret = found.map_err(|error| match error {
        kube::Error::Api(status) => format!("the Secret {name:?} can't be read: {}", status.message),
        error => format!("the Secret {name:?} can't be read: {error}"),
    })?;
    let data = secret.data.unwrap_or_default();
    let field = |name: &str| data.get(name).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
    match (field("AWS_ACCESS_KEY_ID"), field("AWS_SECRET_ACCESS_KEY")) {
        (Some(access_key_id), Some(secret_access_key)) => {
            Ok(Keys { access_key_id, secret_access_key, session_token: field("AWS_SESSION_TOKEN") })
        }
        _ => Err(format!("AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is missing in the Secret {name:?}")),
    }
}
