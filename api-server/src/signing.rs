//! Signatures of our own, by which a replica knows what it or another one has written. The secret is kept in the cluster, so
//! that all replicas have the same and it survives them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Client, api::PostParams, core::ObjectMeta};
use sha2::Sha256;
use tokio::{sync::OnceCell, time::timeout};

use crate::error::Error;

/// The Secret, in the API server's namespace.
const NAME: &str = "imagejob-api-signing";
const FIELD: &str = "secret";
const BYTES: usize = 32;
/// For an answer of the cluster's API server.
const ANSWER: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Signs texts, and knows its signatures again. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Signer {
    secrets: Api<Secret>,
    /// Read when it is needed first. A secret that is replaced counts once the server is started again.
    secret: Arc<OnceCell<Vec<u8>>>,
}

impl Signer {
    /// One whose Secret is in `namespace`.
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self { secrets: Api::namespaced(client, namespace), secret: Arc::default() }
    }

    /// The signature of a text, fit for URLs. `purpose` keeps a signature from being used for something else.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the secret can't be read.
    pub(crate) async fn sign(&self, purpose: &str, text: &str) -> Result<String, Error> {
        Ok(URL_SAFE_NO_PAD.encode(self.mac(purpose, text).await?.finalize().into_bytes()))
    }

    /// Whether [`sign`](Self::sign) gave this signature for the same purpose and text.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the secret can't be read.
    pub(crate) async fn is_signed(&self, purpose: &str, text: &str, signature: &str) -> Result<bool, Error> {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return Ok(false) };
        // In constant time.
        Ok(self.mac(purpose, text).await?.verify_slice(&signature).is_ok())
    }

    async fn mac(&self, purpose: &str, text: &str) -> Result<Hmac<Sha256>, Error> {
        let secret = self.secret.get_or_try_init(|| self.read_or_create()).await?;
        mac(secret, purpose, text)
    }

    async fn read_or_create(&self) -> Result<Vec<u8>, Error> {
        if let Some(found) = self.read().await? {
            return Ok(found);
        }
        let mut made = vec![0; BYTES];
        getrandom::fill(&mut made).map_err(|error| Error::Internal(error.to_string()))?;
        let secret = Secret {
            metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
            type_: Some("Opaque".to_owned()),
            data: Some(BTreeMap::from([(FIELD.to_owned(), ByteString(made.clone()))])),
            ..Secret::default()
        };
        match timeout(ANSWER, self.secrets.create(&PostParams::default(), &secret)).await {
            Ok(Ok(_)) => Ok(made),
            // Another replica came first.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => {
                self.read().await?.ok_or_else(|| away(&"it was deleted at once"))
            }
            Ok(Err(error)) => Err(away(&error)),
            Err(_) => Err(away(&"no answer in time")),
        }
    }

    async fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        let found =
            timeout(ANSWER, self.secrets.get_opt(NAME)).await.map_err(|_| away(&"no answer in time"))?;
        let Some(secret) = found.map_err(|error| away(&error))? else { return Ok(None) };
        let bytes = secret.data.and_then(|mut data| data.remove(FIELD)).map(|ByteString(bytes)| bytes);
        let bytes = bytes.filter(|bytes| bytes.len() >= BYTES);
        bytes.map(Some).ok_or_else(|| {
            Error::Internal(format!(
                "the Secret {NAME} has no {FIELD} of {BYTES} bytes; delete it, and a new one is made"
            ))
        })
    }
}

fn mac(secret: &[u8], purpose: &str, text: &str) -> Result<Hmac<Sha256>, Error> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret).map_err(|error| Error::Internal(error.to_string()))?;
    mac.update(purpose.as_bytes());
    mac.update(b"\0");
    mac.update(text.as_bytes());
    Ok(mac)
}

fn away(error: &dyn std::fmt::Display) -> Error {
    tracing::warn!(%error, secret = NAME, "the secret for signatures can't be had");
    Error::Unavailable { what: "the secret for signatures can't be had".to_owned(), retry_after: RETRY_AFTER }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_for_one_secret_purpose_and_text() {
        let signed = |secret: &[u8], purpose: &str, text: &str| {
            mac(secret, purpose, text).unwrap().finalize().into_bytes()
        };
        let one = signed(b"secret", "file", "a");
        assert_eq!(one, signed(b"secret", "file", "a"));
        for other in
            [signed(b"other", "file", "a"), signed(b"secret", "fil", "ea"), signed(b"secret", "file", "b")]
        {
            assert_ne!(one, other);
        }
    }
}
