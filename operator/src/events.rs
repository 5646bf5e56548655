//! Kubernetes Events: one for each turn of an object's life.
//!
//! An Event's name is derived from its object, reason, note and minute, so saying the same thing twice in a row
//! (after a restart, by a stale cache, while trying again) meets AlreadyExists and changes nothing. Events are best effort, as
//! Kubernetes treats them: they are sent in the background, [`PER_SECOND`] on average and [`BURST`] at once,
//! and what does not fit is counted in a metric rather than delaying a reconcile.
//!
//! They are of `v1`, not `events.k8s.io/v1`: the latter refuses `lastTimestamp`, by which `kubectl describe` sorts.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Instant,
};

use crds::events::EventReason;
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{MicroTime, Time},
};
use kube::{Api, Client, api::PostParams, core::ObjectMeta};
use tokio::sync::mpsc;

use crate::metrics::Metrics;

/// Events per second once a burst of [`BURST`] is used up.
const PER_SECOND: f64 = 25.0;
/// Events that may be sent at once.
const BURST: u8 = 200;
/// The API's limit for `message` is 1024 bytes.
const MAX_NOTE: usize = 1000;
const CONTROLLER: &str = "imagejob.dev/operator";

/// Whether an Event tells of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Warning,
}

/// What to tell about an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notice {
    pub(crate) kind: Kind,
    pub(crate) reason: EventReason,
    /// What the operator did, CamelCase.
    pub(crate) action: &'static str,
    pub(crate) note: String,
}

impl Notice {
    pub(crate) fn normal(reason: EventReason, action: &'static str, note: String) -> Self {
        Self { kind: Kind::Normal, reason, action, note }
    }

    pub(crate) fn warning(reason: EventReason, action: &'static str, note: String) -> Self {
        Self { kind: Kind::Warning, reason, action, note }
    }
}

/// Sends Events in the background.
#[derive(Clone)]
pub(crate) struct Events {
    sender: mpsc::Sender<Event>,
    identity: Arc<str>,
    metrics: Arc<Metrics>,
}

impl Events {
    /// Starts the sender; it stops when the last clone is dropped.
    pub(crate) fn start(client: Client, identity: &str, metrics: Arc<Metrics>) -> Self {
        let (sender, receiver) = mpsc::channel(BURST.into());
        tokio::spawn(send(client, receiver, metrics.clone()));
        Self { sender, identity: identity.into(), metrics }
    }

    /// Tells `notice` about `object`, or drops it when too much is being told.
    pub(crate) fn tell(&self, object: &ObjectReference, notice: &Notice) {
        let event = build(object, notice, &self.identity, Timestamp::now());
        if self.sender.try_send(event).is_err() {
            self.metrics.events_dropped.inc();
        }
    }
}

async fn send(client: Client, mut receiver: mpsc::Receiver<Event>, metrics: Arc<Metrics>) {
    let mut allowance = f64::from(BURST);
    let mut last = Instant::now();
    while let Some(event) = receiver.recv().await {
        allowance = (allowance + last.elapsed().as_secs_f64() * PER_SECOND).min(f64::from(BURST));
        last = Instant::now();
        if allowance < 1.0 {
            metrics.events_dropped.inc();
            continue;
        }
        allowance -= 1.0;
        let namespace = event.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => tracing::debug!(%error, reason = event.reason, "Event not recorded"),
        }
    }
}

fn build(object: &ObjectReference, notice: &Notice, identity: &str, now: Timestamp) -> Event {
    let note = truncate(&notice.note, MAX_NOTE);
    let minute = now.as_second() / 60;
    let mut hasher = DefaultHasher::new();
    (&object.uid, notice.reason.as_str(), &note, minute).hash(&mut hasher);
    let name = object.name.as_deref().unwrap_or("object");
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:016x}", hasher.finish())),
            namespace: object.namespace.clone(),
            ..ObjectMeta::default()
        },
        action: Some(notice.action.to_owned()),
        reason: Some(notice.reason.as_str().to_owned()),
        message: Some(note.to_owned()),
        type_: Some(match notice.kind {
            Kind::Normal => "Normal".to_owned(),
            Kind::Warning => "Warning".to_owned(),
        }),
        event_time: Some(MicroTime(now)),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        involved_object: object.clone(),
        source: Some(EventSource { component: Some(CONTROLLER.to_owned()), host: None }),
        reporting_component: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(truncate(identity, 128).to_owned()),
        ..Event::default()
    }
}

/// The longest prefix of at most `max` bytes that ends at a character.
pub(crate) fn truncate(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(uid: &str) -> ObjectReference {
        ObjectReference {
            name: Some("lighthouse".into()),
            namespace: Some("studio".into()),
            uid: Some(uid.into()),
            ..ObjectReference::default()
        }
    }

    fn notice(note: &str) -> Notice {
        Notice::normal(EventReason::Completed, "Complete", note.into())
    }

    #[test]
    fn the_same_turn_has_the_same_name_and_another_has_not() {
        let name = |uid, note, seconds| {
            let now = Timestamp::from_second(seconds).unwrap();
            build(&reference(uid), &notice(note), "a", now).metadata.name
        };
        assert_eq!(name("1", "4 images", 0), name("1", "4 images", 59));
        assert_ne!(name("1", "4 images", 0), name("1", "4 images", 60), "a pool grows by the same again");
        assert_ne!(name("1", "4 images", 0), name("2", "4 images", 0), "a job recreated under its old name");
        assert_ne!(name("1", "4 images", 0), name("1", "3 images", 0));
    }

    #[test]
    fn a_long_note_is_cut_at_a_character() {
        let event = build(&reference("1"), &notice(&"é".repeat(2000)), "a", Timestamp::UNIX_EPOCH);
        assert_eq!(event.message.unwrap().len(), 1000);
    }
}
