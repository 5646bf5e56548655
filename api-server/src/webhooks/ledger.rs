//! The messages to deliver, in Redis: any replica may send the next one, and one that dies in between is replaced when its
//! lease ends. All keys have one hash tag.
//!
//! | key | type | what |
//! |---|---|---|
//! | `ijw:{w}:due` | zset | ids of messages by when they are due, ms |
//! | `ijw:{w}:message:ID` | hash | receiver (JSON), url (its address), body, event, namespace, job, uid, tenant, attempts |
//! | `ijw:{w}:job:UID` | hash | a job's messages: open, delivered, given-up or gone |
//! | `ijw:{w}:log:UID` | list | a job's last 100 attempts, the newest first, JSON |
//! | `ijw:{w}:gone:TENANT` | set | addresses that answered 410 |

use std::{collections::BTreeMap, sync::LazyLock};

use queue::Redis;
use redis::Script;
use serde::{Deserialize, Serialize};

use super::Receiver;

static ADD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("add.lua")));
static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("claim.lua")));
static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("settle.lua")));

const DUE: &str = "ijw:{w}:due";
const MESSAGES: &str = "ijw:{w}:message:";
/// Longer than an attempt may take, ms.
const LEASE_MS: u64 = 40_000;

/// A message to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Message {
    /// The same on every attempt, by which receivers tell one that comes again.
    pub(super) id: String,
    pub(super) receiver: Receiver,
    pub(super) body: String,
    pub(super) event: String,
    pub(super) tenant: String,
    pub(super) namespace: String,
    pub(super) job: String,
    pub(super) uid: String,
    /// How often it was tried.
    pub(super) attempts: u32,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// It is tried again.
    Again {
        at_ms: i64,
    },
    Delivered,
    /// It was tried as often as messages are.
    GivenUp,
    /// The receiver wants no more.
    Gone,
}

/// An attempt as the log shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Logged {
    pub(crate) message: String,
    pub(crate) event: String,
    pub(crate) url: String,
    pub(crate) time: String,
    pub(crate) attempt: u32,
    pub(crate) status: Option<u16>,
    pub(crate) said: String,
    /// When it is tried again.
    pub(crate) next_time: Option<String>,
}

/// The ledger. Cheap to clone.
#[derive(Clone)]
pub(super) struct Ledger {
    redis: Redis,
}

impl Ledger {
    pub(super) fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// Adds a message, unless it was added before.
    pub(super) async fn add(&self, message: &Message, now_ms: i64) -> queue::Result<bool> {
        let Message { id, receiver, body, event, tenant, namespace, job, uid, attempts } = message;
        let mut call = ADD.key(of_job(uid));
        call.key(DUE).key(format!("{MESSAGES}{id}")).arg(id).arg(now_ms);
        for (field, value) in [
            ("receiver", &serde_json::to_string(receiver).unwrap_or_default()),
            ("url", &receiver.address().to_owned()),
            ("body", body),
            ("event", event),
            ("tenant", tenant),
            ("namespace", namespace),
            ("job", job),
            ("uid", uid),
        ] {
            call.arg(field).arg(value);
        }
        call.arg("attempts").arg(attempts);
        self.redis.script(&call).await
    }

    /// The message that is due first, for an attempt.
    pub(super) async fn claim(&self, now_ms: i64) -> queue::Result<Option<Message>> {
        let mut call = CLAIM.key(DUE);
        call.key(MESSAGES).arg(now_ms).arg(LEASE_MS);
        let claimed: Option<(String, BTreeMap<String, String>)> = self.redis.script(&call).await?;
        Ok(claimed.map(|(id, mut fields)| {
            let mut text = |name: &str| fields.remove(name).unwrap_or_default();
            Message {
                id,
                receiver: serde_json::from_str(&text("receiver"))
                    .unwrap_or_else(|_| Receiver::Url(text("url"))),
                body: text("body"),
                event: text("event"),
                tenant: text("tenant"),
                namespace: text("namespace"),
                job: text("job"),
                uid: text("uid"),
                attempts: text("attempts").parse().unwrap_or_default(),
            }
        }))
    }

    /// Notes how an attempt ended; returns how many of the job's messages are still open.
    pub(super) async fn settle(
        &self,
        message: &Message,
        course: Course,
        logged: &Logged,
    ) -> queue::Result<u32> {
        let (state, at_ms) = match course {
            Course::Again { at_ms } => ("open", at_ms),
            Course::Delivered => ("delivered", 0),
            Course::GivenUp => ("given-up", 0),
            Course::Gone => ("gone", 0),
        };
        let mut call = SETTLE.key(of_job(&message.uid));
        call.key(DUE).key(format!("{MESSAGES}{}", message.id)).key(log_of(&message.uid));
        call.arg(&message.id).arg(state).arg(at_ms).arg(serde_json::to_string(logged).unwrap_or_default());
        self.redis.script(&call).await
    }

    /// Remembers that a URL answered 410.
    pub(super) async fn disable(&self, tenant: &str, url: &str) -> queue::Result<()> {
        let mut call = redis::cmd("SADD");
        call.arg(gone_of(tenant)).arg(url);
        self.redis.run(&call).await
    }

    /// Whether it did.
    pub(super) async fn is_disabled(&self, tenant: &str, url: &str) -> queue::Result<bool> {
        let mut call = redis::cmd("SISMEMBER");
        call.arg(gone_of(tenant)).arg(url);
        self.redis.run(&call).await
    }

    /// A job's messages by their state, and its last attempts, the newest first.
    pub(super) async fn of_job(&self, uid: &str) -> queue::Result<(BTreeMap<String, String>, Vec<Logged>)> {
        let mut states = redis::cmd("HGETALL");
        states.arg(of_job(uid));
        let mut log = redis::cmd("LRANGE");
        log.arg(log_of(uid)).arg(0).arg(-1);
        // In this order, the log has the attempts that the states tell of.
        let states = self.redis.run(&states).await?;
        let lines: Vec<String> = self.redis.run(&log).await?;
        let attempts = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok((states, attempts))
    }

    /// Has a message sent again at once, whatever became of it. `false`: it is not there.
    pub(super) async fn redeliver(&self, uid: &str, id: &str, now_ms: i64) -> queue::Result<bool> {
        let mut known = redis::cmd("HEXISTS");
        known.arg(format!("{MESSAGES}{id}")).arg("url");
        let mut of_this_job = redis::cmd("HEXISTS");
        of_this_job.arg(of_job(uid)).arg(id);
        if !self.redis.run::<bool>(&of_this_job).await? || !self.redis.run::<bool>(&known).await? {
            return Ok(false);
        }
        let mut open = redis::cmd("HSET");
        open.arg(of_job(uid)).arg(id).arg("open");
        self.redis.run::<()>(&open).await?;
        let mut due = redis::cmd("ZADD");
        due.arg(DUE).arg(now_ms).arg(id);
        self.redis.run::<()>(&due).await?;
        Ok(true)
    }
}

fn of_job(uid: &str) -> String {
    format!("ijw:{{w}}:job:{uid}")
}

fn log_of(uid: &str) -> String {
    format!("ijw:{{w}}:log:{uid}")
}

fn gone_of(tenant: &str) -> String {
    format!("ijw:{{w}}:gone:{tenant}")
}
