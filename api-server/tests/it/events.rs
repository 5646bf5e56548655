//! Streams of events.

use std::time::Duration;

use futures::StreamExt as _;
use kube::api::DeleteParams;
use queue::{Beat, HeldLease, Job, JobUid, NodeProgress, Queue, RunningNode, WorkerId};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use testkit::{S3, S3Options};
use tokio::time::timeout;

use crate::rig::{PATIENCE, Rig, answer, picture};

/// A stream of events, read frame by frame.
pub(crate) struct Events {
    body: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: String,
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: Value,
}

impl Events {
    pub(crate) async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        Self { body: response.bytes_stream().boxed(), text: String::new() }
    }

    /// The next frame; `None` at the stream's end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = frame.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    line.unwrap_or_default().trim().to_owned()
                };
                let found = Frame {
                    id: field("id"),
                    event: field("event"),
                    data: serde_json::from_str(&field("data")).unwrap_or_default(),
                };
                self.text = rest.to_owned();
                if !found.event.is_empty() {
                    return Some(found);
                }
                continue;
            }
            let piece = timeout(PATIENCE, self.body.next()).await.expect("a frame in time")?;
            self.text.push_str(std::str::from_utf8(&piece.ok()?).unwrap());
        }
    }

    pub(crate) async fn until(&mut self, what: impl Fn(&Value) -> bool) -> Frame {
        loop {
            let frame = self.next().await.expect("the stream goes on");
            if what(&frame.data) {
                return frame;
            }
        }
    }
}

#[tokio::test]
async fn a_stream_shows_each_state_and_how_far_images_are_until_the_end() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    rig.pool("sd15", &s3, |_| ()).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let created = answer(rig.post(&replica, "/v1/jobs", &key).json(&picture("a cat"))).await.json;
    let id = created["id"].as_str().unwrap();
    let path = format!("/v1/jobs/{id}/events");
    let mut events = Events::open(rig.get(&replica, &path, &key)).await;
    let first = events.next().await.unwrap();
    assert_eq!(
        (first.event.as_str(), &first.data["job"]["state"], &first.data["progress"]),
        ("job", &json!("queued"), &json!(0.0))
    );

    // A worker takes it, and tells how far it is.
    let uid = JobUid(rig.jobs().get(id).await.unwrap().metadata.uid.unwrap());
    let queue = rig.queue("sd15").await;
    rig.say(id, &[("Ready", "Running")], rig.output("sd15", &s3)).await;
    begin(&queue, &uid).await;
    let nodes = NodeProgress {
        done: 4,
        total: 8,
        running: Some(RunningNode { id: "3".into(), class: Some("KSampler".into()) }),
    };
    tell(&queue, &uid, (10, 20), nodes).await;
    let told = events.until(|data| data["running"][0]["step"] == 10).await;
    assert_eq!(told.data["job"]["state"], "running");
    assert_eq!(
        told.data["running"],
        json!([{"index": 0, "attempt": 1, "progress": 0.563, "step": 10, "steps": 20, "node": "3", "nodeClass": "KSampler"}])
    );
    assert_eq!(told.data["progress"], 0.563);

    // Who comes again with the last id is told what is new only.
    let mut again = Events::open(rig.get(&replica, &path, &key).header("last-event-id", &told.id)).await;
    rig.say(
        id,
        &[("Ready", "Completed"), ("Complete", "Completed")],
        json!({"counts": {"total": 1, "waiting": 0, "running": 0, "succeeded": 1, "failed": 0}}),
    )
    .await;
    let last = events.until(|data| data["job"]["state"] == "completed").await;
    assert_eq!(last.data["progress"], 1.0);
    assert!(events.next().await.is_none(), "nothing comes after the end");
    let newer = again.next().await.unwrap();
    assert_ne!(newer.id, told.id);
    if newer.data["job"]["state"] != "completed" {
        again.until(|data| data["job"]["state"] == "completed").await;
    }
    let nothing_newer = answer(rig.get(&replica, &path, &key).header("last-event-id", &last.id)).await;
    assert_eq!(nothing_newer.status, StatusCode::NO_CONTENT);
    let late = Events::open(rig.get(&replica, &path, &key)).await.next().await.unwrap();
    assert_eq!(late.data["job"]["state"], "completed");
}

#[tokio::test]
async fn a_stream_ends_when_its_job_is_deleted_its_key_revoked_or_its_replica_stopped() {
    let rig = Rig::start().await;
    rig.tenant("acme", json!({})).await;
    let key = rig.key(&["--tenant", "acme", "--name", "web"]).await;
    let other = rig.key(&["--tenant", "acme"]).await;
    let mut replica = rig.replica().await;
    let mut ids = vec![];
    for _ in 0..2 {
        let created = answer(rig.post(&replica, "/v1/jobs", &key).json(&picture("a cat"))).await.json;
        ids.push(format!("/v1/jobs/{}", created["id"].as_str().unwrap()));
    }
    let open = async |path: &str, key: &str| {
        let mut events = Events::open(rig.get(&replica, &format!("{path}/events"), key)).await;
        events.next().await.unwrap();
        events
    };
    let (mut deleted, mut revoked, mut stopped) =
        (open(&ids[0], &key).await, open(&ids[1], &key).await, open(&ids[1], &other).await);
    answer(rig.delete(&replica, &ids[0], &key)).await;
    assert_eq!(deleted.next().await.unwrap().event, "deleted");
    assert!(deleted.next().await.is_none());
    rig.secrets().delete("web", &DeleteParams::default()).await.unwrap();
    assert!(timeout(Duration::from_secs(10), revoked.next()).await.expect("ends in time").is_none());
    let ended = tokio::task::spawn_blocking(move || replica.process.terminate().map(|()| replica.said()));
    assert!(timeout(Duration::from_secs(4), stopped.next()).await.expect("ends in time").is_none());
    assert!(!ended.await.unwrap().unwrap().contains("still running"));
}

/// A worker takes the job's image.
pub(crate) async fn begin(queue: &Queue, uid: &JobUid) {
    let payload = queue::TaskSpec {
        graph: serde_json::Map::new(),
        seeds: vec![],
        inputs: vec![],
        cut: None,
        outputs: vec![],
        form: queue::Form::default(),
        black_is_wrong: false,
        labels: std::collections::BTreeMap::new(),
        traceparent: None,
        timeout_seconds: 300,
    };
    let job = Job {
        uid: uid.clone(),
        tenant: "acme".into(),
        weight: 1.0,
        max_running: None,
        class: "standard".into(),
        model: String::new(),
        work: "w".into(),
        unit_ms: 1000.0,
        arrival_ms: 0,
        sla: Duration::from_secs(300),
        units: 1.0,
        total: 1,
        retries: 2,
        max_failed_images: None,
        listing: false,
        recheck: false,
        suspended: false,
        payload: payload.to_payload().unwrap(),
    };
    let class = queue::ClassSetting {
        name: "standard".into(),
        sla: Duration::from_secs(300),
        capacities: vec!["spot".into()],
    };
    queue.configure(&queue::Settings { suspended: false, classes: vec![class] }).await.unwrap();
    queue.enqueue(&job).await.unwrap();
    let claim = queue::Claim { worker: WorkerId("w".into()), capacity: "spot".into(), loaded: None, max: 1 };
    assert_eq!(queue.claim(&claim).await.unwrap().len(), 1);
}

pub(crate) async fn tell(queue: &Queue, uid: &JobUid, steps: (u32, u32), nodes: NodeProgress) {
    let task = queue::TaskId { job: uid.clone(), index: 0 };
    let held = HeldLease { task, attempt: 1, progress: Some(steps), nodes: Some(nodes) };
    queue.beat(&WorkerId("w".into()), &Beat { leases: vec![held], ..Beat::default() }).await.unwrap();
}
