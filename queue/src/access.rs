//! A user of its own in Redis for each pool, so that whoever reads one pool's password sees and changes nothing of another's.

use redis::Cmd;

use crate::{Redis, Result, names};

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

/// Lets a pool's workers in with any of these passwords, and no others, to the keys and channels of their pool. While
/// passwords are changed, give the old one too: workers that run know no other. Redis keeps its users itself only if it
/// has an ACL file: after it was restarted, failed over, or got new nodes, grant again.
///
/// # Errors
/// When Redis can't be reached, or our own user may not make users (`NOPERM`).
pub async fn grant(redis: &Redis, pool: &str, passwords: &[&str]) -> Result<()> {
    let keys = escaped(&names::prefix(pool));
    let mut call = acl("SETUSER", pool);
    call.arg("reset").arg("on");
    for password in passwords {
        call.arg(format!(">{password}"));
    }
    call.arg(format!("~{keys}*")).arg(format!("&{keys}*")).arg("+@all").arg(&DENIED);
    redis.query_everywhere(&call).await
}

/// Takes a pool's user away; its connections end.
///
/// # Errors
/// As for [`grant`].
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
