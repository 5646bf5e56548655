//! Whoever asked is told: events of jobs are posted to URLs, as Standard Webhooks 1.0.0 has it, or sent to queues and topics
//! of AWS. What a job's state implies is added to the ledger by every replica, once; any replica sends what is due.

mod amazon;
mod event;
mod ledger;
mod receiver;
mod refused;
mod secrets;
mod send;
mod sign;
mod target;

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

pub(crate) use event::NAMES;
pub(crate) use ledger::Logged;
pub(crate) use refused::Refusal;
pub(crate) use secrets::{SigningSecret, SigningSecrets};
pub use target::Network;

use crate::{
    app::App,
    cache::{Job, JobObject, Tenant},
    error::Error,
    runpod,
};

use ledger::{Course, Ledger, Message};
use receiver::Receiver;
use send::{Attempt, Letter};

/// The UUID v5 namespace of messages' ids.
const MESSAGES: Uuid = Uuid::from_u128(0x5d1e_88a2_40b7_5c39_b1f4_6e02_9a7d_33c8);
/// Between one attempt and the next, seconds; after the last the message is given up.
const AFTER: [u32; 9] = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// Attempts at once of one replica.
const AT_ONCE: usize = 4;
/// Between two looks for what is due, while there is nothing.
const LOOK: Duration = Duration::from_millis(500);
/// While Redis is away.
const RETRY: Duration = Duration::from_secs(3);
/// Messages whose addition is remembered; more, and some are offered to Redis again.
const REMEMBERED: usize = 100_000;

/// Who is to be told of one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhook {
    pub(crate) url: String,
    /// Which events; empty: those that end a job, and `late`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<String>,
}

impl Webhook {
    /// Whether it can be used at all; where its host is, is looked at when something is sent.
    pub(crate) fn check(&self) -> Result<(), Error> {
        const LONGEST: usize = 1024;
        let url = reqwest::Url::parse(&self.url);
        let usable = url.as_ref().is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !usable || self.url.len() > LONGEST {
            return Err(Error::invalid(
                "/webhook/url",
                "give an http or https URL, e.g. https://shop.example.com/hooks/images",
            ));
        }
        match self.events.iter().find(|event| !NAMES.contains(&event.as_str())) {
            Some(event) => Err(Error::invalid(
                "/webhook/events",
                format!("there is no event {event:?}; there are {}", NAMES.join(", ")),
            )),
            None => Ok(()),
        }
    }
}

/// Who tells.
pub(crate) struct Webhooks {
    ledger: Ledger,
    pub(crate) secrets: SigningSecrets,
    allowed: Vec<Network>,
    /// Ids of messages that this replica has added.
    added: Mutex<HashSet<String>>,
}

impl Webhooks {
    pub(crate) fn new(redis: queue::Redis, secrets: SigningSecrets, allowed: Vec<Network>) -> Self {
        Self { ledger: Ledger::new(redis), secrets, allowed, added: Mutex::default() }
    }

    /// Adds the messages that a job's state implies and that were not added before.
    pub(crate) async fn note(&self, app: &App, tenant: &Tenant, job: &Job) -> queue::Result<()> {
        if job.is_notified {
            return Ok(());
        }
        let of_tenant =
            tenant.spec.webhooks.iter().filter_map(|hook| Some((Receiver::of(hook)?, &hook.events)));
        let of_request =
            job.request.webhook.iter().map(|hook| (Receiver::Url(hook.url.clone()), &hook.events));
        for (receiver, events) in of_request.chain(of_tenant) {
            let address = receiver.address();
            for event in event::events(job).into_iter().filter(|event| event::is_wanted(events, event.name)) {
                let id = Uuid::new_v5(&MESSAGES, format!("{}\0{address}\0{}", job.uid, event.id).as_bytes());
                let id = format!("msg_{}", id.simple());
                if self.is_added(&id) || self.ledger.is_disabled(&tenant.name, address).await? {
                    continue;
                }
                // RunPod's clients expect its own form at the URL that they named.
                let is_runpods = job.front.as_deref() == Some(runpod::FRONT)
                    && job.request.webhook.as_ref().is_some_and(|hook| hook.url == *address);
                let body = match is_runpods {
                    true => runpod::told(app, job).await,
                    false => event::body(app, job, &event),
                };
                let message = Message {
                    id: id.clone(),
                    receiver: receiver.clone(),
                    body,
                    event: event.name.to_owned(),
                    tenant: tenant.name.to_string(),
                    namespace: job.namespace.clone(),
                    job: job.name.clone(),
                    uid: job.uid.clone(),
                    attempts: 0,
                };
                self.ledger.add(&message, now_ms()).await?;
                self.remember(id);
            }
        }
        Ok(())
    }

    fn is_added(&self, id: &str) -> bool {
        self.added.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    fn remember(&self, id: String) {
        let mut added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        if added.len() >= REMEMBERED {
            added.clear();
        }
        added.insert(id);
    }

    /// A job's messages by their state, and the log of attempts.
    pub(crate) async fn of_job(&self, job: &Job) -> Result<Value, Error> {
        let (messages, attempts) = self.ledger.of_job(&job.uid).await?;
        let messages: Vec<Value> =
            messages.iter().map(|(id, state)| json!({ "id": id, "state": state })).collect();
        Ok(json!({ "messages": messages, "attempts": attempts }))
    }

    /// Has a message sent again.
    pub(crate) async fn redeliver(&self, job: &Job, id: &str) -> Result<(), Error> {
        match self.ledger.redeliver(&job.uid, id, now_ms()).await? {
            true => Ok(()),
            false => Err(Error::NotFound { what: "message", name: id.to_owned() }),
        }
    }
}

/// Sends what is due, for ever.
pub(crate) async fn run(app: &App) {
    let senders = (0..AT_ONCE).map(|_| async {
        loop {
            match app.webhooks.ledger.claim(now_ms()).await {
                Ok(Some(message)) => attempt(app, message).await,
                Ok(None) => sleep(LOOK).await,
                Err(error) => {
                    tracing::debug!(%error, "webhooks wait for Redis");
                    sleep(RETRY).await;
                }
            }
        }
    });
    futures::future::join_all(senders).await;
}

async fn attempt(app: &App, message: Message) {
    let webhooks = &app.webhooks;
    let attempt = match &message.receiver {
        Receiver::Url(url) => match post(webhooks, &message, url).await {
            Some(attempt) => attempt,
            // Without a secret the lease ends, and the message is tried again.
            None => return,
        },
        Receiver::Sqs(queue) => amazon::to_queue(&app.aws, queue, &message).await,
        Receiver::Sns(topic) => amazon::to_topic(&app.aws, topic, &message).await,
    };
    let course = course(&message, &attempt);
    let outcome = match course {
        Course::Delivered => "delivered",
        Course::Again { .. } => "failed",
        Course::GivenUp => "given-up",
        Course::Gone => "gone",
    };
    app.metrics.webhooks.with_label_values(&[outcome]).inc();
    let logged = Logged {
        message: message.id.clone(),
        event: message.event.clone(),
        url: message.receiver.address().to_owned(),
        time: Timestamp::now().to_string(),
        attempt: message.attempts + 1,
        status: attempt.status,
        said: attempt.said,
        next_time: match course {
            Course::Again { at_ms } => Timestamp::from_millisecond(at_ms).ok().map(|time| time.to_string()),
            _ => None,
        },
    };
    if course == Course::Gone
        && let Err(error) = webhooks.ledger.disable(&message.tenant, message.receiver.address()).await
    {
        tracing::warn!(%error, "a URL that wants no more webhooks can't be noted");
    }
    match webhooks.ledger.settle(&message, course, &logged).await {
        Ok(0) if ["completed", "failed", "cancelled"].contains(&message.event.as_str()) => {
            settled(app, &message).await;
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "how a webhook went can't be noted; it may be sent again"),
    }
}

/// Posts it to a URL, signed; `None` when there is no secret to sign it with.
async fn post(webhooks: &Webhooks, message: &Message, url: &str) -> Option<Attempt> {
    let secret = webhooks.secrets.of(&message.tenant).await.ok()?;
    let secrets: Vec<&str> =
        [Some(secret.current.as_str()), secret.previous.as_deref()].into_iter().flatten().collect();
    let timestamp = Timestamp::now().as_second();
    let signature = sign::signatures(&secrets, &message.id, timestamp, message.body.as_bytes());
    let letter = Letter { id: &message.id, url, timestamp, signature, body: message.body.clone() };
    Some(send::post(letter, &webhooks.allowed).await)
}

fn course(message: &Message, attempt: &Attempt) -> Course {
    if attempt.is_delivered() {
        return Course::Delivered;
    }
    if attempt.is_gone() {
        return Course::Gone;
    }
    let tried = usize::try_from(message.attempts).unwrap_or(usize::MAX);
    let Some(seconds) = AFTER.get(tried) else { return Course::GivenUp };
    // A tenth of jitter, so that what failed together is not tried again together.
    let random = u32::from(Uuid::new_v4().as_bytes()[0]);
    let wait = Duration::from_millis(u64::from(seconds * 1000 + seconds * random * 100 / 255));
    let wait = attempt.retry_after.map_or(wait, |asked| asked.min(Duration::from_secs(86_400)).max(wait));
    Course::Again { at_ms: now_ms() + i64::try_from(wait.as_millis()).unwrap_or(i64::MAX) }
}

/// Notes on the job that everybody was told of its end: should Redis be lost, nobody is told again.
async fn settled(app: &App, message: &Message) {
    let api: Api<JobObject> = Api::namespaced(app.jobs.client().clone(), &message.namespace);
    let annotations = json!({ crds::names::ANNOTATION_NOTIFIED: "true" });
    let patch = Patch::Merge(json!({ "metadata": { "uid": message.uid, "annotations": annotations } }));
    if let Err(error) = api.patch(&message.job, &PatchParams::default(), &patch).await {
        tracing::debug!(%error, job = message.job, "a job that is gone, or whose end is noted later");
    }
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(status: Option<u16>, retry_after: Option<u64>) -> Attempt {
        Attempt { status, said: String::new(), retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn what_fails_is_tried_for_days_at_ever_longer_distances() {
        let after = |attempts: u32, attempt: &Attempt| {
            let before = now_ms();
            match course(&Message { attempts, ..Message::default() }, attempt) {
                Course::Again { at_ms } => Some((at_ms - before + 500) / 1000),
                _ => None,
            }
        };
        let failed = attempt(Some(500), None);
        assert!((5..=6).contains(&after(0, &failed).unwrap()));
        assert!((300..=331).contains(&after(1, &failed).unwrap()));
        assert!((86_400..=95_041).contains(&after(8, &failed).unwrap()));
        assert_eq!(course(&Message { attempts: 9, ..Message::default() }, &failed), Course::GivenUp);
        assert_eq!(after(0, &attempt(Some(503), Some(120))), Some(120));
        assert!(after(0, &attempt(None, None)).is_some());
        for (status, wanted) in [(200, Course::Delivered), (204, Course::Delivered), (410, Course::Gone)] {
            assert_eq!(course(&Message::default(), &attempt(Some(status), None)), wanted);
        }
        assert!(after(0, &attempt(Some(302), None)).is_some(), "a redirect is a failure");
    }
}
