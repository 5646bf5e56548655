//! A user of its own in Redis for each pool, so that whoever reads one pool's password sees and changes nothing of another's.

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind};

use crate::{Error, Redis, Result, names, url};

/// What a pool's workers need not do, and what would show them other pools: names of keys, scripts of others.
const DENIED: [&str; 9] = [
    "-@dangerous",
    "-@admin",
    "-function",
    "-script",
    "-scan",
    "-randomkey",
    "-dbsize",
    "-pubsub",
    "-swapdb",
];

/// The name of a pool's user in Redis; `pool` is `namespace/name`.
#[must_use]
pub fn user_of(pool: &str) -> String {
    format!("imagejob-{}", pool.replace('/', "."))
}

/// Whether Redis has made a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    /// It has.
    Yes,
    /// It does not let us make users (`NOPERM`, or a managed Redis without `ACL SETUSER`); why, in its words.
    Refused(String),
}

/// The password in a Redis URL, if there is one.
#[must_use]
pub fn password_in(url: &str) -> Option<&str> {
    let (_, user, _) = url::split(url)?;
    user.strip_suffix('@')?
        .split_once(':')
        .map(|(_, password)| password)
        .filter(|password| !password.is_empty())
}

/// Whether a Redis URL says who connects.
#[must_use]
pub fn has_user(url: &str) -> bool {
    url::split(url).is_some_and(|(_, user, _)| !user.is_empty())
}

/// The same URL for a pool's user. Of the password no character may have a meaning in URLs.
#[must_use]
pub fn url_of(url: &str, pool: &str, password: &str) -> String {
    match url::split(url) {
        Some((scheme, _, rest)) => format!("{scheme}{}:{password}@{rest}", user_of(pool)),
        None => url.to_owned(),
    }
}

/// Lets a pool's workers in with any of these passwords, and no others, to the keys and channels of their pool. While
/// passwords are changed, give the old one too: workers that run know no other. Redis keeps its users itself only if it
/// has an ACL file: after it was restarted, failed over, or got new nodes, grant again.
///
/// # Errors
/// When Redis can't be reached.
pub async fn grant(redis: &Redis, pool: &str, passwords: &[&str]) -> Result<Granted> {
    let keys = escaped(&names::prefix(pool));
    let mut call = acl("SETUSER", pool);
    call.arg("reset").arg("on");
    for password in passwords {
        call.arg(format!(">{password}"));
    }
    call.arg(format!("~{keys}*")).arg(format!("&{keys}*")).arg("+@all").arg(&DENIED);
    match redis.query_everywhere(&call).await {
        Ok(()) => Ok(Granted::Yes),
        Err(Error::Redis(error)) if is_refused(&error) => Ok(Granted::Refused(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Not so what a Redis says that is just starting or failing over.
fn is_refused(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::ResponseError))
        || error.code() == Some("NOPERM")
}

/// Takes a pool's user away, if it has one; its connections end.
///
/// # Errors
/// When Redis can't be reached, or our own user may not take users away.
pub async fn revoke(redis: &Redis, pool: &str) -> Result<()> {
    redis.query_everywhere(&acl("DELUSER", pool)).await
}

fn acl(what: &str, pool: &str) -> Cmd {
    let mut call = redis::cmd("ACL");
    call.arg(what).arg(user_of(pool));
    call
}

/// Redis reads patterns.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pools_user_takes_the_place_of_the_one_in_the_url() {
        let table = [
            ("redis://:secret@r:6379/0", Some("secret"), "redis://imagejob-studio.a:pw@r:6379/0"),
            ("rediss://ann:s%40crt@r", Some("s%40crt"), "rediss://imagejob-studio.a:pw@r"),
            ("redis://r:6379", None, "redis://imagejob-studio.a:pw@r:6379"),
            (
                "redis-cluster://:secret@a,b:7001",
                Some("secret"),
                "redis-cluster://imagejob-studio.a:pw@a,b:7001",
            ),
            (
                "redis-sentinel://:secret@a,b/main/3?sentinel=:other",
                Some("secret"),
                "redis-sentinel://imagejob-studio.a:pw@a,b/main/3?sentinel=:other",
            ),
        ];
        for (url, password, own) in table {
            assert_eq!(password_in(url), password, "{url}");
            assert_eq!(has_user(url), password.is_some(), "{url}");
            assert_eq!(url_of(url, "studio/a", "pw"), own);
            assert!(url::Target::parse(own).is_ok(), "{own}");
        }
    }
}
