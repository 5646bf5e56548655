//! API keys: 256 random bits, of which only the SHA-256 is kept, in a Secret.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crds::names::{API_KEY_SECRET, LABEL_TENANT};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::core::ObjectMeta;
use sha2::{Digest as _, Sha256};

/// What every key begins with, so that scanners of sources find keys that got there.
const PREFIX: &str = "ij_";
const BITS: usize = 256;
/// The Secret's fields.
const SHA256: &str = "sha256";
const RIGHTS: &str = "rights";

/// The SHA-256 of a key's text. A key has so many random bits that nobody finds it from its hash; slow hashes are for
/// passwords.
pub(crate) type Hash = [u8; 32];

/// What may be done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// To look.
    ReadOnly,
    /// All that a tenant may do.
    Use,
    /// To create and revoke keys; no jobs.
    Admin,
}

impl Rights {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Use => "use",
            Self::Admin => "admin",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::ReadOnly, Self::Use, Self::Admin].into_iter().find(|rights| rights.as_str() == text.trim())
    }
}

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiKey {
    /// The name of its Secret.
    pub(crate) name: String,
    /// Whose it is; `None`: an administrator's.
    pub(crate) tenant: Option<String>,
    pub(crate) rights: Rights,
    pub(crate) hash: Hash,
}

impl ApiKey {
    /// What its jobs are labelled with: names of Secrets may be longer than labels' values.
    pub(crate) fn label(&self) -> &str {
        const LONGEST: usize = 63;
        self.name.get(..LONGEST).unwrap_or(&self.name).trim_end_matches(['-', '.'])
    }

    /// Reads a Secret; the error is for the log, and never shows what is in it.
    pub(crate) fn of_secret(secret: &Secret) -> Result<Self, String> {
        let field = |name: &str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(name));
            bytes.and_then(|ByteString(bytes)| std::str::from_utf8(bytes).ok()).map(str::trim)
        };
        let hash = field(SHA256).and_then(from_hex);
        let hash = hash.ok_or_else(|| format!("data.{SHA256} is not 64 hexadecimal digits"))?;
        let rights = field(RIGHTS).map_or(Some(Rights::Use), Rights::parse);
        let rights = rights.ok_or_else(|| format!("data.{RIGHTS} is not read-only, use or admin"))?;
        let tenant = secret.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL_TENANT)).cloned();
        match (rights, &tenant) {
            (Rights::Admin, Some(_)) => Err(format!("an administrator's key has no label {LABEL_TENANT}")),
            (Rights::Use | Rights::ReadOnly, None) => Err(format!("the label {LABEL_TENANT} is missing")),
            _ => Ok(Self { name: secret.metadata.name.clone().unwrap_or_default(), tenant, rights, hash }),
        }
    }
}

/// A key that was just made.
pub(crate) struct NewKey {
    /// What its owner gets to see, once.
    pub(crate) text: String,
    /// What is kept.
    pub(crate) secret: Secret,
}

impl NewKey {
    /// Makes a key.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub(crate) fn make(
        tenant: Option<&str>,
        rights: Rights,
        name: Option<&str>,
    ) -> Result<Self, getrandom::Error> {
        let mut bits = [0; BITS / 8];
        getrandom::fill(&mut bits)?;
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits));
        let hash = hash(&text);
        let name = name.map_or_else(|| format!("api-key-{}", &to_hex(&hash)[..12]), str::to_owned);
        let labels = tenant.map(|tenant| BTreeMap::from([(LABEL_TENANT.to_owned(), tenant.to_owned())]));
        let field = |name: &str, value: String| (name.to_owned(), ByteString(value.into_bytes()));
        let secret = Secret {
            metadata: ObjectMeta { name: Some(name), labels, ..ObjectMeta::default() },
            type_: Some(API_KEY_SECRET.to_owned()),
            data: Some([field(SHA256, to_hex(&hash)), field(RIGHTS, rights.as_str().to_owned())].into()),
            ..Secret::default()
        };
        Ok(Self { text, secret })
    }
}

/// The hash of a key's text.
pub(crate) fn hash(text: &str) -> Hash {
    Sha256::digest(text).into()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    let digits = text.as_bytes().chunks_exact(2);
    if text.len() != 2 * hash.len() || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(digits) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hash_of_a_key_is_kept() {
        let key = NewKey::make(Some("acme"), Rights::Use, None).unwrap();
        assert_eq!((key.text.len(), &key.text[..3]), (46, "ij_"));
        let kept = serde_json::to_string(&key.secret).unwrap();
        assert!(!kept.contains(&key.text[3..]), "{kept}");
        let read = ApiKey::of_secret(&key.secret).unwrap();
        assert_eq!(
            (read.tenant.as_deref(), read.rights, read.hash),
            (Some("acme"), Rights::Use, hash(&key.text))
        );
        let another = NewKey::make(Some("acme"), Rights::Use, None).unwrap();
        assert_ne!(another.text, key.text);
    }

    #[test]
    fn a_secret_that_is_no_key_says_what_is_missing() {
        let broken = |change: fn(&mut Secret)| {
            let mut secret = NewKey::make(Some("acme"), Rights::Use, Some("web")).unwrap().secret;
            change(&mut secret);
            ApiKey::of_secret(&secret).unwrap_err()
        };
        let set = |secret: &mut Secret, field: &str, value: &str| {
            secret.data.get_or_insert_default().insert(field.to_owned(), ByteString(value.into()));
        };
        assert!(broken(|secret| secret.data = None).contains("sha256"));
        assert!(broken(|secret| secret.metadata.labels = None).contains(LABEL_TENANT));
        let mut secret = NewKey::make(Some("acme"), Rights::Use, Some("web")).unwrap().secret;
        set(&mut secret, RIGHTS, "admin");
        assert!(ApiKey::of_secret(&secret).unwrap_err().contains("administrator"));
        set(&mut secret, RIGHTS, "root");
        assert!(ApiKey::of_secret(&secret).unwrap_err().contains("rights"));
        set(&mut secret, SHA256, &"zz".repeat(32));
        assert!(ApiKey::of_secret(&secret).unwrap_err().contains("sha256"));
    }
}
