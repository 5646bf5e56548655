//! What Karpenter's Events say.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;

use crate::lock;

/// Words are kept up to so many characters.
const LONGEST: usize = 400;

/// Something that an Event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remark {
    /// The first time.
    pub(super) first: Timestamp,
    /// The last time.
    pub(super) last: Timestamp,
    pub(super) words: Box<str>,
}

/// What Events of one reason say, by what they are about; for as long as the API server keeps them. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Remarks(Arc<Mutex<BySubject>>);

/// By subject, then by the Event's uid.
type BySubject = HashMap<Box<str>, HashMap<Box<str>, Remark>>;

impl Remarks {
    /// What is said of a subject, in no order.
    pub(super) fn of(&self, subject: &str) -> Vec<Remark> {
        lock(&self.0).get(subject).into_iter().flat_map(HashMap::values).cloned().collect()
    }

    /// The subjects of which something is said in these words.
    pub(super) fn subjects(&self, words: impl Fn(&str) -> bool) -> Vec<Box<str>> {
        let by_subject = lock(&self.0);
        let about =
            by_subject.iter().filter(|(_, remarks)| remarks.values().any(|remark| words(&remark.words)));
        about.map(|(subject, _)| subject.clone()).collect()
    }

    pub(super) fn add(&self, subject: &str, event: &Event) {
        add(&mut lock(&self.0), subject, event);
    }

    pub(super) fn remove(&self, subject: &str, event: &Event) {
        let mut by_subject = lock(&self.0);
        if let Some(remarks) = by_subject.get_mut(subject) {
            remarks.remove(uid(event));
            if remarks.is_empty() {
                by_subject.remove(subject);
            }
        }
    }

    /// Keeps what a new list shows, and nothing else.
    pub(super) fn replace<'a>(&self, listed: impl Iterator<Item = (&'a str, &'a Event)>) {
        let mut by_subject = BySubject::new();
        listed.for_each(|(subject, event)| add(&mut by_subject, subject, event));
        *lock(&self.0) = by_subject;
    }
}

fn add(by_subject: &mut BySubject, subject: &str, event: &Event) {
    let Some(first) = times(event).min() else { return };
    let last = times(event).max().unwrap_or(first);
    let words = event.message.as_deref().unwrap_or_default().chars().take(LONGEST).collect::<String>();
    let remark = Remark { first, last, words: words.into() };
    by_subject.entry(subject.into()).or_default().insert(uid(event).into(), remark);
}

/// An Event that is repeated keeps its creation, and counts.
fn times(event: &Event) -> impl Iterator<Item = Timestamp> {
    let times = [&event.metadata.creation_timestamp, &event.first_timestamp, &event.last_timestamp];
    times.into_iter().flatten().map(|time| time.0)
}

fn uid(event: &Event) -> &str {
    event.metadata.uid.as_deref().or(event.metadata.name.as_deref()).unwrap_or_default()
}
