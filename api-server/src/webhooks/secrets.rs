//! What a tenant's webhooks are signed with: a Secret, made when it is needed first. After a rotation the old one signs
//! too, so that receivers can change over.

use std::{sync::Arc, time::Duration};

use crds::names::{LABEL_TENANT, WEBHOOK_SECRET};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    core::ObjectMeta,
};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::sign::new_secret;
use crate::{auth::to_hex, cache::Cache, error::Error};

const ANSWER: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_secs(5);
const FIELD_MANAGER: &str = "imagejob-api";
/// The Secret's fields.
const CURRENT: &str = "secret";
const PREVIOUS: &str = "previous";

/// What signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SigningSecret {
    pub(crate) current: String,
    /// Until the next rotation.
    pub(crate) previous: Option<String>,
}

impl SigningSecret {
    /// The tenant, and what signs for it; `None` of a Secret that holds nothing.
    pub(crate) fn of_secret(secret: &Secret) -> Option<(String, Self)> {
        let field = |name: &str| {
            let bytes = &secret.data.as_ref()?.get(name)?.0;
            Some(std::str::from_utf8(bytes).ok()?.trim().to_owned())
        };
        let tenant = secret.metadata.labels.as_ref()?.get(LABEL_TENANT)?.clone();
        Some((tenant, Self { current: field(CURRENT)?, previous: field(PREVIOUS) }))
    }
}

/// The Secrets. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SigningSecrets {
    secrets: Api<Secret>,
    cache: Cache,
}

impl SigningSecrets {
    pub(crate) fn new(client: Client, namespace: &str, cache: Cache) -> Self {
        Self { secrets: Api::namespaced(client, namespace), cache }
    }

    /// What signs for a tenant; made if there is none yet.
    pub(super) async fn of(&self, tenant: &str) -> Result<Arc<SigningSecret>, Error> {
        match self.cache.signing.get(tenant) {
            Some(known) => Ok(known),
            None => {
                let made = self.write(tenant, None).await?;
                Ok(Arc::new(SigningSecret { current: made, previous: None }))
            }
        }
    }

    /// A new secret, which its owner gets to see once. The present one signs until the next rotation.
    pub(crate) async fn rotate(&self, tenant: &str) -> Result<String, Error> {
        let present = self.cache.signing.get(tenant).map(|secret| secret.current.clone());
        self.write(tenant, present).await
    }

    async fn write(&self, tenant: &str, previous: Option<String>) -> Result<String, Error> {
        let current = new_secret().map_err(|error| Error::Internal(error.to_string()))?;
        // A tenant's name may have characters that a Secret's may not.
        let name = format!("webhook-secret-{}", &to_hex(&Sha256::digest(tenant))[..12]);
        let field = |name: &str, value: String| (name.to_owned(), ByteString(value.into_bytes()));
        let mut data = std::collections::BTreeMap::from([field(CURRENT, current.clone())]);
        data.extend(previous.map(|previous| field(PREVIOUS, previous)));
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            labels: Some([(LABEL_TENANT.to_owned(), tenant.to_owned())].into()),
            ..ObjectMeta::default()
        };
        let secret = Secret {
            metadata,
            type_: Some(WEBHOOK_SECRET.to_owned()),
            data: Some(data),
            ..Secret::default()
        };
        let apply = PatchParams::apply(FIELD_MANAGER).force();
        match timeout(ANSWER, self.secrets.patch(&name, &apply, &Patch::Apply(&secret))).await {
            Ok(Ok(_)) => Ok(current),
            Ok(Err(error)) => Err(away(&error)),
            Err(_) => Err(away(&"no answer in time")),
        }
    }
}

fn away(error: &dyn std::fmt::Display) -> Error {
    tracing::warn!(%error, "the Secret of a tenant's webhooks can't be written");
    Error::Unavailable {
        what: "the cluster's API server does not answer".to_owned(),
        retry_after: RETRY_AFTER,
    }
}
