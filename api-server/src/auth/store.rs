//! The Secrets of API keys, for those who create and revoke them.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use tokio::time::timeout;

use super::{NewKey, Rights};
use crate::error::Error;

/// For an answer of the cluster's API server.
const ANSWER: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The namespace of keys. Cheap to clone.
#[derive(Clone)]
pub(crate) struct KeyStore {
    secrets: Api<Secret>,
}

impl KeyStore {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self { secrets: Api::namespaced(client, namespace) }
    }

    /// Creates a key; returns its name and its text.
    pub(crate) async fn create(
        &self,
        tenant: &str,
        rights: Rights,
        name: Option<&str>,
    ) -> Result<(String, String), Error> {
        let NewKey { text, secret } =
            NewKey::make(Some(tenant), rights, name).map_err(|error| Error::Internal(error.to_string()))?;
        let name = secret.metadata.name.clone().unwrap_or_default();
        match timeout(ANSWER, self.secrets.create(&PostParams::default(), &secret)).await {
            Ok(Ok(_)) => Ok((name, text)),
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => {
                Err(Error::invalid("/name", format!("there is a Secret {name:?} already")))
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 422 => Err(Error::invalid(
                "/name",
                "use small letters, digits and '-', with a letter or digit at both ends",
            )),
            Ok(Err(error)) => Err(away(&error)),
            Err(_) => Err(away(&"no answer in time")),
        }
    }

    /// Deletes a key, after which it is refused within seconds.
    pub(crate) async fn revoke(&self, name: &str) -> Result<(), Error> {
        match timeout(ANSWER, self.secrets.delete(name, &DeleteParams::default())).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(()),
            Ok(Err(error)) => Err(away(&error)),
            Err(_) => Err(away(&"no answer in time")),
        }
    }
}

fn away(error: &dyn std::fmt::Display) -> Error {
    tracing::warn!(%error, "the Secrets of API keys can't be written");
    Error::Unavailable {
        what: "the cluster's API server does not answer".to_owned(),
        retry_after: RETRY_AFTER,
    }
}
