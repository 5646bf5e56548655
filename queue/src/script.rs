//! The scripts, and how they are called.

use redis::{Arg, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind};

use crate::{Error, Redis, Result, library::with_library};

/// A script: its text, and the name under which Redis remembers it.
#[derive(Debug)]
pub(crate) struct Script {
    text: String,
    sha1: String,
}

impl Script {
    fn new(flags: &str, text: &str) -> Self {
        let text = format!("#!lua flags={flags}\n{}", with_library(text));
        Self { sha1: redis::Script::new(&text).get_hash().to_owned(), text }
    }

    /// A call of it for the pool whose keys begin with `prefix`; arguments are added to it.
    pub(crate) fn call(&self, prefix: &str) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.sha1).arg(1).arg(prefix);
        command
    }

    /// Runs a [`call`](Self::call). A Redis that does not know the script yet gets its text.
    pub(crate) async fn run<T: FromRedisValue>(&self, redis: &Redis, call: &Cmd, term: u64) -> Result<T> {
        let answer: RedisResult<T> = match redis.query(call).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                redis.query(&self.with_text(call)).await
            }
            answer => answer,
        };
        answer.map_err(|error| match error.code() {
            // Redis at its memory limit refuses what would take more.
            Some("OOM") => Error::Full(error.to_string()),
            Some("DEPOSED") => Error::Deposed { term, leader: leader_in(&error) },
            _ => error.into(),
        })
    }

    fn with_text(&self, call: &Cmd) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(&self.text);
        for argument in call.args_iter().skip(2) {
            if let Arg::Simple(bytes) = argument {
                command.arg(bytes);
            }
        }
        command
    }
}

fn leader_in(error: &RedisError) -> u64 {
    let words = error.detail().unwrap_or_default().split_whitespace();
    words.filter_map(|word| word.parse().ok()).next().unwrap_or_default()
}

/// The scripts as Redis gets them, by name: for linters and profilers.
#[must_use]
pub fn scripts() -> Vec<(&'static str, String)> {
    Scripts::new().texts()
}

/// Declares the scripts: names and flags.
macro_rules! scripts {
    ($($name:ident: $flags:literal,)+) => {
        /// All scripts. Only `enqueue` is refused by a Redis at its memory limit: what is queued must be able to
        /// finish, and finishing is what gives memory back.
        #[derive(Debug)]
        pub(crate) struct Scripts {
            $(pub(crate) $name: Script,)+
        }

        impl Scripts {
            pub(crate) fn new() -> Self {
                Self {
                    $($name: Script::new($flags, include_str!(concat!("lua/", stringify!($name), ".lua"))),)+
                }
            }

            fn texts(self) -> Vec<(&'static str, String)> {
                vec![$((stringify!($name), self.$name.text),)+]
            }
        }
    };
}

scripts! {
    enqueue: "",
    known: "allow-oom",
    claim: "allow-oom",
    beat: "allow-oom",
    complete: "allow-oom",
    complete_listing: "allow-oom",
    release: "allow-oom",
    configure: "allow-oom",
    retire: "allow-oom",
    order: "allow-oom",
    evict: "allow-oom",
    reap: "allow-oom",
    cancel: "allow-oom",
    suspend: "allow-oom",
    resume: "allow-oom",
    forget: "allow-oom",
    redrive: "allow-oom",
    jobs: "allow-oom",
    set_epoch: "allow-oom",
    open_results: "allow-oom",
    delete_all: "allow-oom",
    publish_engine: "",
    engines: "no-writes",
    outcomes: "no-writes",
    dead_letters: "no-writes",
    progress: "no-writes",
    stats: "no-writes",
    epoch: "no-writes",
}

#[cfg(test)]
mod tests {
    use super::scripts;

    #[test]
    fn each_script_says_what_it_takes_and_returns() {
        for (name, text) in scripts() {
            for said in ["\n-- KEYS[1]: ", "\n-- ARGV", "\n-- Returns "] {
                assert!(text.contains(said), "{name} does not say {said:?}");
            }
        }
    }
}
