//! The machine's metadata service tells that it goes away. Here a small server plays the clouds' part.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use queue::{Notice, WorkerId};
use testkit::wait_for;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::task::AbortOnDropHandle;

use crate::rig::{PATIENCE, Rig, Worker, picture, steps_of};

const SPOT: &str = "/latest/meta-data/spot/instance-action";
const LIFECYCLE: &str = "/latest/meta-data/autoscaling/target-lifecycle-state";
const REBALANCE: &str = "/latest/meta-data/events/recommendations/rebalance";
const PREEMPTED: &str = "/computeMetadata/v1/instance/preempted";
const MAINTENANCE: &str = "/computeMetadata/v1/instance/maintenance-event";
const NAME: &str = "/metadata/instance/compute/name";
const EVENTS: &str = "/metadata/scheduledevents";
const TOKEN: &str = "AQAEAM7Fdd";

/// A metadata service. What is asked for and not there is 404; what is asked in the wrong way is refused.
struct Metadata {
    url: String,
    shared: Arc<Shared>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, String>>,
    asked: Mutex<u32>,
}

impl Metadata {
    async fn start(answers: &[(&str, &str)]) -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let serving: JoinHandle<()> =
            tokio::spawn(async move { axum::serve(listener, routes).await.expect("served") });
        let metadata = Self { url, shared, _serving: AbortOnDropHandle::new(serving) };
        for (path, body) in answers {
            metadata.say(path, body);
        }
        metadata
    }

    fn aws() -> impl Future<Output = Self> {
        Self::start(&[("/latest/api/token", TOKEN), (LIFECYCLE, "InService")])
    }

    fn say(&self, path: &str, body: &str) {
        self.shared.answers.lock().expect("answers").insert(path.into(), body.into());
    }

    fn take_back(&self, path: &str) {
        self.shared.answers.lock().expect("answers").remove(path);
    }

    fn asked(&self) -> u32 {
        *self.shared.asked.lock().expect("a count")
    }

    /// Waits until it was asked so often that what was said last has been heard.
    async fn is_heard(&self) {
        let before = self.asked();
        wait_for("the worker to ask again", PATIENCE, async || (self.asked() >= before + 8).then_some(()))
            .await
            .expect("asked");
    }

    fn worker(&self, rig: &Rig, more: &[&str]) -> Worker {
        let url = format!("METADATA_URL={}", self.url);
        let flags: Vec<&str> = ["METADATA=auto", &url].into_iter().chain(more.iter().copied()).collect();
        rig.worker_with(&flags)
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    *shared.asked.lock().expect("a count") += 1;
    let path = request.uri().path();
    let body = shared.answers.lock().expect("answers").get(path).cloned();
    match body {
        _ if !properly(request.method(), path, request.headers()) => StatusCode::UNAUTHORIZED.into_response(),
        Some(body) => ([("Metadata-Flavor", "Google")], body).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Asked as each cloud wants it.
fn properly(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    let has = |name, value| headers.get(name).is_some_and(|given| given == value);
    match path.split('/').nth(1) {
        Some("latest") if path.ends_with("/token") => {
            method == Method::PUT && headers.contains_key("X-aws-ec2-metadata-token-ttl-seconds")
        }
        Some("latest") => has("X-aws-ec2-metadata-token", TOKEN),
        Some("computeMetadata") => has("Metadata-Flavor", "Google"),
        _ => has("Metadata", "true"),
    }
}

fn action_in(seconds: i64) -> String {
    let time = Timestamp::now() + SignedDuration::from_secs(seconds);
    format!(r#"{{"action": "terminate", "time": "{time:.0}"}}"#)
}

fn preempted_in(seconds: i64, machine: &str) -> String {
    let time = Timestamp::now() + SignedDuration::from_secs(seconds);
    let time = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).expect("a date");
    format!(
        r#"{{"DocumentIncarnation": 2, "Events": [{{"EventId": "1", "EventType": "Preempt",
            "ResourceType": "VirtualMachine", "Resources": ["{machine}"], "EventStatus": "Scheduled",
            "NotBefore": "{time}", "EventSource": "Platform"}}]}}"#
    )
}

/// Waits until the queue has heard of what the worker heard.
async fn reported(rig: &Rig, worker: &Worker, what: &str, wanted: impl Fn(Option<Notice>) -> bool) {
    let id = WorkerId(worker.id.clone());
    wait_for(what, PATIENCE, async || {
        let stats = rig.queue.stats().await.ok()?;
        let seen = stats.workers.iter().find(|seen| seen.worker == id)?;
        wanted(seen.notice).then_some(())
    })
    .await
    .expect("reported");
}

fn is_doomed(notice: Option<Notice>) -> bool {
    matches!(notice, Some(Notice::Doomed { .. }))
}

#[tokio::test]
async fn what_does_not_fit_before_the_end_is_handed_back_within_two_seconds() {
    let (rig, metadata) = (Rig::start(steps_of(100)).await, Metadata::aws().await);
    let mut worker = metadata.worker(&rig, &[]);
    let job = rig.enqueue(picture(600), |_, _| ()).await;
    rig.at_step(2).await;

    metadata.say(SPOT, &action_in(20));
    let said = Instant::now();
    let state = rig.job(&job, "the task to come back", |state| state.waiting == 1).await;

    assert!(said.elapsed() < Duration::from_secs(2), "{:?}", said.elapsed());
    assert_eq!((state.interruptions, state.retries), (1, 0));
    assert!(worker.exit().await.success());
    assert_eq!(rig.queue.job(&job).await.expect("a state").expect("known").interruptions, 1);
}

#[tokio::test]
async fn what_fits_is_finished_and_the_operator_hears_of_it_meanwhile() {
    let (rig, metadata) = (Rig::start(steps_of(100)).await, Metadata::aws().await);
    let mut worker = metadata.worker(&rig, &[]);
    let job = rig.enqueue(picture(60), |job, _| job.total = 2).await;
    rig.at_step(2).await;
    metadata.say(SPOT, &action_in(100));
    reported(&rig, &worker, "the operator to be told", is_doomed).await;
    assert!(worker.exit().await.success());
    let state = rig.queue.job(&job).await.expect("a state").expect("known");
    assert_eq!((state.succeeded, state.waiting, state.interruptions), (1, 1, 0), "{state:?}");
}

#[tokio::test]
async fn of_sigterm_and_a_notice_the_earlier_deadline_counts() {
    let (rig, metadata) = (Rig::start(steps_of(100)).await, Metadata::aws().await);
    let mut worker = metadata.worker(&rig, &["--drain-grace=300"]);
    let job = rig.enqueue(picture(600), |_, _| ()).await;
    rig.at_step(2).await;
    worker.terminate();
    worker.says("/readyz", 503, "Leave").await;
    assert_eq!(rig.queue.job(&job).await.expect("a state").expect("known").running, 1, "it fits");
    metadata.say(SPOT, &action_in(10));
    let said = Instant::now();
    rig.job(&job, "the task to come back", |state| state.waiting == 1).await;
    assert!(said.elapsed() < Duration::from_secs(2), "{:?}", said.elapsed());
    assert!(worker.exit().await.success());
}

#[tokio::test]
async fn a_risk_is_passed_on_until_it_is_over_and_nonsense_does_no_harm() {
    let (rig, metadata) = (Rig::start(steps_of(100)).await, Metadata::aws().await);
    let worker = metadata.worker(&rig, &[]);
    worker.is_ready().await;

    metadata.say(REBALANCE, r#"{"noticeTime": "2026-01-01T00:00:00Z"}"#);
    let at_risk = |notice| notice == Some(Notice::AtRisk);
    reported(&rig, &worker, "the risk to be passed on", at_risk).await;
    metadata.take_back(REBALANCE);
    reported(&rig, &worker, "the end of the risk", |notice| notice.is_none()).await;

    let job = rig.enqueue(picture(30), |_, _| ()).await;
    for nonsense in ["", "<html>", r#"{"action": "resize"}"#, "\u{fffd}"] {
        metadata.say(SPOT, nonsense);
        metadata.is_heard().await;
    }
    let outcomes = rig.outcomes(&job, 1).await;
    assert!(outcomes[0].result.is_ok() && outcomes[0].attempts == 1, "{outcomes:?}");
    worker.is_ready().await;
}

#[tokio::test]
async fn an_idle_worker_leaves_a_machine_that_is_preempted() {
    let google = || [(PREEMPTED, "FALSE"), (MAINTENANCE, "NONE")];
    let azure = || [(NAME, "gpu_3"), (EVENTS, r#"{"DocumentIncarnation": 1, "Events": []}"#)];
    let rig = Rig::start(steps_of(0)).await;

    let metadata = Metadata::start(&google()).await;
    let mut worker = metadata.worker(&rig, &[]);
    worker.is_ready().await;
    metadata.say(MAINTENANCE, "TERMINATE_ON_HOST_MAINTENANCE");
    reported(&rig, &worker, "the risk", |notice| notice == Some(Notice::AtRisk)).await;
    metadata.say(PREEMPTED, "TRUE");
    assert!(worker.exit().await.success());

    let metadata = Metadata::start(&azure()).await;
    let mut worker = metadata.worker(&rig, &[]);
    worker.is_ready().await;
    metadata.say(EVENTS, &preempted_in(30, "gpu_2"));
    metadata.is_heard().await;
    worker.is_ready().await; // another machine of the scale set
    metadata.say(EVENTS, &preempted_in(30, "gpu_3"));
    assert!(worker.exit().await.success());

    let metadata = Metadata::aws().await;
    let mut worker = metadata.worker(&rig, &[]);
    worker.is_ready().await;
    metadata.say(LIFECYCLE, "Terminated");
    assert!(worker.exit().await.success());
}

#[tokio::test]
async fn where_there_is_no_such_service_it_is_looked_for_once() {
    let (rig, nothing) = (Rig::start(steps_of(0)).await, Metadata::start(&[]).await);
    let worker = nothing.worker(&rig, &[]);
    worker.is_ready().await;
    let asked = wait_for("the search", PATIENCE, async || Some(nothing.asked()).filter(|asked| *asked >= 3));
    assert_eq!(asked.await.expect("looked for"), 3, "once for each cloud");
    let job = rig.enqueue(picture(2), |job, _| job.total = 2).await;
    rig.outcomes(&job, 2).await;
    assert_eq!(nothing.asked(), 3);

    let off = nothing.worker(&rig, &["--metadata=off"]);
    off.is_ready().await;
    assert_eq!(nothing.asked(), 3);
}
