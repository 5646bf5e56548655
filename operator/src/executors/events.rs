//! Kubernetes Events: one for each turn of an object's life.
//!
//! An Event's name is derived from its object, reason, note and minute, so saying the same thing twice in a row
//! (after a restart, by a stale record, while trying again) meets AlreadyExists and changes nothing. Events are best
//! effort, as Kubernetes treats them: [`PER_SECOND`] on average and [`BURST`] at once are sent, and what does not fit is
//! counted in a metric. Those of pools go first and have an allowance of their own: few, and about machines that cost
//! money.
//!
//! They are of `v1`, not `events.k8s.io/v1`: the latter refuses `lastTimestamp`, by which `kubectl describe` sorts.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{MicroTime, Time},
};
use kube::{Api, api::PostParams, core::ObjectMeta};
use tokio::{sync::mpsc, time::Instant};

use super::{Failure, Server};
use crate::{
    metrics::Metrics,
    notice::{Kind, Notice},
};

/// The metrics' label of this executor.
const NAME: &str = "events";
/// Events per second and lane once a burst of [`BURST`] is used up.
const PER_SECOND: f64 = 25.0;
/// Events that may be sent at once, a lane.
const BURST: u8 = 200;
/// The API's limit for `message` is 1024 bytes.
const MAX_NOTE: usize = 1000;
const CONTROLLER: &str = "imagejob.dev/operator";

/// Takes what there is to tell.
#[derive(Clone)]
pub(crate) struct Events {
    jobs: mpsc::Sender<Event>,
    pools: mpsc::Sender<Event>,
    identity: Arc<str>,
    metrics: Arc<Metrics>,
}

/// Whose Event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Job,
    Pool,
}

impl Events {
    /// Tells `notice` about `object`, or drops it when too much is being told.
    pub(crate) fn tell(&self, lane: Lane, object: &ObjectReference, notice: &Notice) {
        let event = build(object, notice, &self.identity, Timestamp::now());
        let sender = match lane {
            Lane::Job => &self.jobs,
            Lane::Pool => &self.pools,
        };
        if sender.try_send(event).is_err() {
            self.metrics.events_dropped.inc();
        }
    }
}

/// The executor, and its work.
pub(crate) fn open(server: Server, identity: &str) -> (Events, impl Future<Output = ()>) {
    let metrics = Arc::clone(&server.metrics);
    let (jobs, of_jobs) = mpsc::channel(BURST.into());
    let (pools, of_pools) = mpsc::channel(BURST.into());
    let events = Events { jobs, pools, identity: identity.into(), metrics };
    (events, run(server, of_jobs, of_pools))
}

async fn run(server: Server, of_jobs: mpsc::Receiver<Event>, of_pools: mpsc::Receiver<Event>) {
    tokio::join!(send(&server, of_pools), send(&server, of_jobs));
}

/// How many may be sent now.
struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    fn new() -> Self {
        Self { left: BURST.into(), at: Instant::now() }
    }

    fn take(&mut self) -> bool {
        self.left = (self.left + self.at.elapsed().as_secs_f64() * PER_SECOND).min(BURST.into());
        self.at = Instant::now();
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

async fn send(server: &Server, mut events: mpsc::Receiver<Event>) {
    let mut allowance = Allowance::new();
    while let Some(event) = events.recv().await {
        if !allowance.take() {
            server.metrics.events_dropped.inc();
            continue;
        }
        server.wait_for_pods().await;
        let namespace = event.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: Api<Event> = Api::namespaced(server.client.clone(), &namespace);
        match server.call(NAME, api.create(&PostParams::default(), &event)).await {
            Ok(_) => {}
            Err(Failure::Api(kube::Error::Api(status))) if status.is_already_exists() => {}
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
    use crds::events::EventReason;

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

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_allowed_and_then_so_many_a_second() {
        let mut allowance = Allowance::new();
        assert_eq!((0..1000).filter(|_| allowance.take()).count(), usize::from(BURST));
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        assert_eq!((0..1000).filter(|_| allowance.take()).count(), 50);
    }

    #[tokio::test]
    async fn however_much_is_told_of_jobs_there_is_room_for_what_is_told_of_pools() {
        let (events, _work) = open(Server::nowhere(), "a");
        for n in 0..2 * u16::from(BURST) {
            events.tell(Lane::Job, &reference("1"), &notice(&n.to_string()));
        }
        assert_eq!(events.metrics.events_dropped.get(), u64::from(BURST));
        events.tell(Lane::Pool, &reference("2"), &notice("a machine was lost"));
        assert_eq!(events.metrics.events_dropped.get(), u64::from(BURST));
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
