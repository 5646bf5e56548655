//! The credentials with which workers reach the queue: those of a user of their pool, or the same for all pools.

use std::{fmt::Write as _, sync::Arc};

use hmac::{Hmac, Mac as _};
use queue::{Tls, access};
use sha2::Sha256;

use crate::index::PoolKey;

/// How workers reach the queue.
#[derive(Debug, Clone)]
pub(crate) struct QueueAddress {
    /// May hold a password.
    pub(crate) url: String,
    pub(crate) tls: Tls,
}

/// How the workers of all pools reach the queue. Cheap to clone.
#[derive(Clone)]
pub(crate) struct QueueAccess {
    /// The address from the operator's configuration.
    pub(crate) shared: Arc<QueueAddress>,
    /// The key from which the passwords of pools are derived; `None`: pools have no users.
    key: Option<Arc<str>>,
}

/// The user of one pool.
#[derive(Clone)]
pub(crate) struct PoolUser {
    pub(crate) address: Arc<QueueAddress>,
    pub(crate) password: Arc<str>,
}

impl QueueAccess {
    pub(crate) fn new(shared: QueueAddress, key: Option<&str>) -> Self {
        Self { shared: Arc::new(shared), key: key.map(Arc::from) }
    }

    /// The user of a pool. Its password is derived from the operator's and the pool's uid: every leader knows it without
    /// asking, and a pool made again under its name has another one.
    pub(crate) fn user_of(&self, pool: &PoolKey, uid: &str) -> Option<PoolUser> {
        let password = password(self.key.as_deref()?, &format!("{pool} {uid}"))?;
        let url = access::url_of(&self.shared.url, &pool.to_string(), &password);
        let address = QueueAddress { url, tls: self.shared.tls.clone() };
        Some(PoolUser { address: Arc::new(address), password: password.into() })
    }
}

/// HMAC-SHA256 in hex, which needs no escaping in a URL.
fn password(key: &str, text: &str) -> Option<String> {
    // HMAC takes keys of every length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
    mac.update(text.as_bytes());
    let mut password = String::new();
    for byte in mac.finalize().into_bytes() {
        write!(password, "{byte:02x}").ok()?;
    }
    Some(password)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Config;

    fn url(args: &[&str], pool: &str, uid: &str) -> Option<String> {
        let config = Config::try_parse_from(["operator"].iter().chain(args)).unwrap();
        let access = config.queue_access(Tls::default());
        access.user_of(&PoolKey::new("studio", pool), uid).map(|user| user.address.url.clone())
    }

    #[test]
    fn each_pool_has_a_user_and_a_password_that_no_other_has() {
        let ours = ["--redis-url", "redis://:secret@r:6379"];
        let a = url(&ours, "a", "1").unwrap();
        assert!(
            a.starts_with("redis://imagejob-studio.a:") && a.ends_with("@r:6379") && !a.contains("secret")
        );
        assert_eq!(Some(&a), url(&ours, "a", "1").as_ref(), "every leader has the same");
        for other in [
            url(&ours, "b", "1"),
            url(&ours, "a", "2"),
            url(&["--redis-url", "redis://:other@r:6379"], "a", "1"),
        ] {
            assert_ne!(Some(&a), other.as_ref());
        }
    }

    #[test]
    fn workers_whose_url_says_who_they_are_or_who_need_no_password_are_left_as_they_are() {
        assert_eq!(url(&["--redis-url", "redis://r"], "a", "1"), None);
        let given =
            |theirs| url(&["--redis-url", "redis://:secret@r", "--worker-redis-url", theirs], "a", "1");
        assert_eq!(given("redis://workers:pw@r2"), None);
        let elsewhere = given("redis://r2").unwrap();
        assert!(elsewhere.starts_with("redis://imagejob-studio.a:") && elsewhere.ends_with("@r2"));
    }
}
