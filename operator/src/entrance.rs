//! How workers get to the queue: as a user of their pool's own, or all in the same way.

use std::sync::Arc;

use queue::{Tls, access};
use sha2::{Digest as _, Sha256};

use crate::index::PoolKey;

/// How workers reach the queue.
#[derive(Debug, Clone)]
pub(crate) struct QueueAddress {
    /// May hold a password.
    pub(crate) url: String,
    pub(crate) tls: Tls,
}

/// The ways in for the workers of all pools. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Entrance {
    /// As the operator was told.
    pub(crate) shared: Arc<QueueAddress>,
    /// What the passwords of pools follow from; `None`: pools have no users.
    secret: Option<Arc<str>>,
}

/// A pool's own way in.
#[derive(Clone)]
pub(crate) struct OwnAddress {
    pub(crate) address: Arc<QueueAddress>,
    pub(crate) password: Arc<str>,
}

impl Entrance {
    pub(crate) fn new(shared: QueueAddress, secret: Option<&str>) -> Self {
        Self { shared: Arc::new(shared), secret: secret.map(Arc::from) }
    }

    /// The way in of a pool's own user. Its password follows from the operator's and from the pool's uid: every leader
    /// knows it without asking, and a pool made again under its name has another.
    pub(crate) fn of(&self, pool: &PoolKey, uid: &str) -> Option<OwnAddress> {
        let password = password(self.secret.as_deref()?, &format!("{pool} {uid}"));
        let url = access::url_of(&self.shared.url, &pool.to_string(), &password);
        let address = QueueAddress { url, tls: self.shared.tls.clone() };
        Some(OwnAddress { address: Arc::new(address), password: password.into() })
    }
}

/// Hashed twice with the secret, so that from the password of one text that of another can't be worked out.
fn password(secret: &str, of: &str) -> String {
    let keyed =
        |text: &[u8]| Sha256::new().chain_update(Sha256::digest(secret)).chain_update(text).finalize();
    format!("{:x}", keyed(&keyed(of.as_bytes())))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Config;

    fn url(args: &[&str], pool: &str, uid: &str) -> Option<String> {
        let config = Config::try_parse_from(["operator"].iter().chain(args)).unwrap();
        let entrance = config.queue_for_workers(Tls::default());
        entrance.of(&PoolKey::new("studio", pool), uid).map(|own| own.address.url.clone())
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
