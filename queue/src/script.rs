//! The scripts, and how they are called.

use redis::{Arg, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind};

use crate::{Error, Redis, Result};

/// A script: its text, and the name under which Redis remembers it.
#[derive(Debug)]
pub(crate) struct Script {
    text: &'static str,
    sha1: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, sha1: redis::Script::new(text).get_hash().to_owned() }
    }

    /// A call of it for the pool whose keys begin with `prefix`; arguments are added to it.
    pub(crate) fn call(&self, prefix: &str) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.sha1).arg(1).arg(prefix);
        command
    }

    /// Runs a [`call`](Self::call). A Redis that does not know the script yet gets its text.
    pub(crate) async fn run<T: FromRedisValue>(&self, redis: &Redis, call: &Cmd) -> Result<T> {
        let answer: RedisResult<T> = match redis.query(call).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                redis.query(&self.with_text(call)).await
            }
            answer => answer,
        };
        answer.map_err(|error| if is_full(&error) { Error::Full(error.to_string()) } else { error.into() })
    }

    fn with_text(&self, call: &Cmd) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(self.text);
        for argument in call.args_iter().skip(2) {
            if let Arg::Simple(bytes) = argument {
                command.arg(bytes);
            }
        }
        command
    }
}

/// Redis at its memory limit refuses what would take more.
fn is_full(error: &RedisError) -> bool {
    error.code() == Some("OOM")
}

/// Puts a script together from its flags, the fragments it shares with others, and its own text.
macro_rules! script {
    ($flags:literal, $name:literal $(, $fragment:literal)*) => {
        Script::new(concat!(
            "#!lua flags=", $flags, "\n",
            include_str!("lua/prelude.lua"),
            $(include_str!(concat!("lua/", $fragment, ".lua")),)*
            include_str!(concat!("lua/", $name, ".lua")),
        ))
    };
}

/// All scripts. Only `enqueue` is refused by a Redis at its memory limit: what is queued must be able to
/// finish, and finishing is what gives memory back.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) enqueue: Script,
    pub(crate) claim: Script,
    pub(crate) beat: Script,
    pub(crate) complete: Script,
    pub(crate) release: Script,
    pub(crate) retire: Script,
    pub(crate) order: Script,
    pub(crate) evict: Script,
    pub(crate) reap: Script,
    pub(crate) cancel: Script,
    pub(crate) suspend: Script,
    pub(crate) forget: Script,
    pub(crate) redrive: Script,
    pub(crate) jobs: Script,
    pub(crate) outcomes: Script,
    pub(crate) dead_letters: Script,
    pub(crate) stats: Script,
    pub(crate) epoch: Script,
}

impl Scripts {
    pub(crate) fn new() -> Self {
        Self {
            enqueue: script!("", "enqueue", "spec", "lane"),
            claim: script!("allow-oom", "claim", "spec", "lease", "worker"),
            beat: script!("allow-oom", "beat", "spec", "lane", "lease", "slot", "offer", "back", "worker"),
            complete: script!("allow-oom", "complete", "spec", "lane", "lease", "slot"),
            release: script!("allow-oom", "release", "spec", "lane", "lease", "slot", "offer", "back"),
            retire: script!("allow-oom", "retire", "lease", "worker"),
            order: script!("allow-oom", "order", "worker"),
            evict: script!("allow-oom", "evict", "spec", "lane", "lease", "slot", "offer", "back", "worker"),
            reap: script!("allow-oom", "reap", "spec", "lane", "lease", "slot", "offer", "back", "worker"),
            cancel: script!("allow-oom", "cancel", "spec", "lane", "slot", "withdraw"),
            suspend: script!("allow-oom", "suspend", "spec", "lane", "slot", "offer", "withdraw"),
            forget: script!("allow-oom", "forget", "spec", "lane", "slot", "withdraw"),
            redrive: script!("allow-oom", "redrive", "spec", "lane", "offer"),
            jobs: script!("no-writes", "jobs"),
            outcomes: script!("no-writes", "outcomes", "spec"),
            dead_letters: script!("no-writes", "dead_letters"),
            stats: script!("no-writes", "stats"),
            epoch: script!("no-writes", "epoch"),
        }
    }
}
