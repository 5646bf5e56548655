//! Whoever asked is told: signed, again after failures, by whichever replica lives, and nowhere that is not public.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde_json::{Value, json};
use testkit::wait_for;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    clients::{python, said},
    rig::{PATIENCE, Replica, Rig, answer, picture},
};

/// What a receiver got.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    headers: HeaderMap,
    body: String,
}

impl Delivery {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// How a receiver answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Status(u16),
    Redirect(String),
    Never,
    Endless,
}

#[derive(Clone, Default)]
struct Seen {
    deliveries: Arc<Mutex<Vec<Delivery>>>,
    /// The next answers; then 200.
    replies: Arc<Mutex<VecDeque<Reply>>>,
}

pub(crate) struct Receiver {
    address: SocketAddr,
    seen: Seen,
    _serving: AbortOnDropHandle<()>,
}

impl Receiver {
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let seen = Seen::default();
        seen.replies.lock().unwrap().extend(replies);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/hook", post(receive)).with_state(seen.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, seen, _serving: AbortOnDropHandle::new(serving) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    fn got(&self) -> Vec<Delivery> {
        self.seen.deliveries.lock().unwrap().clone()
    }

    pub(crate) async fn gets(&self, n: usize) -> Vec<Delivery> {
        wait_for("deliveries", PATIENCE, async || Some(self.got()).filter(|got| got.len() >= n))
            .await
            .unwrap()
    }
}

async fn receive(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    seen.deliveries.lock().unwrap().push(Delivery { headers, body });
    let reply = seen.replies.lock().unwrap().pop_front().unwrap_or(Reply::Status(200));
    match reply {
        Reply::Status(status) => (StatusCode::from_u16(status).unwrap(), "as you say").into_response(),
        Reply::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Reply::Never => std::future::pending().await,
        Reply::Endless => {
            let more =
                futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 4096])));
            axum::body::Body::from_stream(more).into_response()
        }
    }
}

async fn ordered(rig: &Rig, replica: &Replica, key: &str, webhook: Value) -> String {
    let mut body = picture("a cat");
    body["webhook"] = webhook;
    let created = answer(rig.post(replica, "/v1/jobs", key).json(&body)).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    created.json["id"].as_str().unwrap().to_owned()
}

async fn completes(rig: &Rig, job: &str) {
    rig.say(
        job,
        &[("Ready", "Completed"), ("Complete", "Completed")],
        json!({"acceptedTime": "2026-01-01T00:00:00Z"}),
    )
    .await;
}

#[tokio::test]
async fn the_end_of_a_job_is_told_signed_and_once_by_all_replicas_together() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let (a, _b) = (rig.replica().await, rig.replica().await);
    let secret =
        answer(rig.post(&a, "/v1/webhook-secret", &key)).await.json["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    let receiver = Receiver::start([]).await;
    let job = ordered(&rig, &a, &key, json!({"url": receiver.url()})).await;
    completes(&rig, &job).await;
    let delivery = receiver.gets(1).await.remove(0);
    assert_eq!(
        (delivery.json()["type"].as_str(), &delivery.json()["data"]["id"]),
        (Some("job.completed"), &json!(job))
    );
    assert!(!delivery.header("webhook-id").contains('.'));
    // As its receiver checks it.
    let headers: Value = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| (name.to_owned(), json!(delivery.header(name))))
        .into_iter()
        .collect();
    let output = tokio::process::Command::new(python().await)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/verify_webhook.py"))
        .env("DELIVERY", json!({"headers": headers, "body": delivery.body}).to_string())
        .env("SECRET", &secret)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    wait_for("the job to be noted as told of", PATIENCE, async || {
        rig.jobs().get(&job).await.ok()?.metadata.annotations?.get("imagejob.dev/notified").cloned()
    })
    .await
    .unwrap();
    // A new replica and another change of the job tell nobody again.
    let late = rig.replica().await;
    rig.say(&job, &[("Ready", "Completed"), ("Complete", "Completed")], json!({"retries": 1})).await;
    let shown = async || answer(rig.get(&late, &format!("/v1/jobs/{job}"), &key)).await.json["retries"] == 1;
    wait_for("the change", PATIENCE, async || shown().await.then_some(())).await.unwrap();
    assert_eq!(receiver.got().len(), 1);
    // Both secrets sign after a rotation.
    answer(rig.post(&late, "/v1/webhook-secret", &key)).await;
    let again = answer(rig.post(
        &late,
        &format!("/v1/jobs/{job}/webhooks/{}/redeliver", delivery.header("webhook-id")),
        &key,
    ))
    .await;
    assert_eq!(again.status, StatusCode::ACCEPTED);
    let again = receiver.gets(2).await.remove(1);
    assert_eq!((again.header("webhook-id"), &again.body), (delivery.header("webhook-id"), &delivery.body));
    assert_eq!(again.header("webhook-signature").split(' ').count(), 2);
}

#[tokio::test]
async fn events_are_those_that_were_asked_for_of_the_job_and_of_the_tenant() {
    let rig = Rig::start().await;
    let (of_tenant, of_job) = (Receiver::start([]).await, Receiver::start([]).await);
    let hooks =
        json!({"webhooks": [{"name": "shop", "url": of_tenant.url(), "events": ["started", "failed"]}]});
    let key = rig.tenant_with_key("acme", hooks).await;
    let replica = rig.replica().await;
    let job = ordered(
        &rig,
        &replica,
        &key,
        json!({"url": of_job.url(), "events": ["accepted", "image", "failed"]}),
    )
    .await;
    let at = json!("2026-01-01T00:00:00Z");
    let counts = |made: u32| json!({"total": 1, "waiting": 0, "running": 1, "succeeded": made, "failed": 0});
    rig.say(&job, &[("Ready", "Running")], json!({"acceptedTime": at, "startTime": at, "counts": counts(0)}))
        .await;
    of_job.gets(1).await;
    rig.say(&job, &[("Ready", "Running")], json!({"counts": counts(1)})).await;
    of_job.gets(2).await;
    rig.say(&job, &[("Ready", "ImagesFailed"), ("Failed", "ImagesFailed")], json!({})).await;
    let kinds = |got: Vec<Delivery>| {
        got.iter().map(|d| d.json()["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(of_job.gets(3).await), ["job.accepted", "job.image", "job.failed"]);
    assert_eq!(kinds(of_tenant.gets(2).await), ["job.started", "job.failed"]);
    for wrong in [
        json!({"url": "ftp://a/b"}),
        json!({"url": "shop"}),
        json!({"url": "https://a.b/c", "events": ["born"]}),
        json!("https://a.b/c"),
    ] {
        let mut body = picture("a cat");
        body["webhook"] = wrong;
        let refused = answer(rig.post(&replica, "/v1/jobs", &key).json(&body)).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
        assert!(refused.json["errors"][0]["pointer"].as_str().unwrap().starts_with("/webhook"));
    }
}

#[tokio::test]
async fn what_fails_is_sent_again_under_the_same_id_and_410_ends_it() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let elsewhere = Receiver::start([]).await;
    let flaky = Receiver::start([Reply::Redirect(elsewhere.url()), Reply::Status(200)]).await;
    let over = Receiver::start([Reply::Status(410)]).await;
    let endless = Receiver::start([Reply::Endless]).await;
    let mut jobs = vec![];
    for receiver in [&flaky, &over, &endless] {
        let job = ordered(&rig, &replica, &key, json!({"url": receiver.url()})).await;
        completes(&rig, &job).await;
        jobs.push(job);
    }
    let got = flaky.gets(2).await;
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
    assert_eq!(got[0].body, got[1].body);
    assert_ne!(got[0].header("webhook-timestamp"), got[1].header("webhook-timestamp"));
    assert!(elsewhere.got().is_empty(), "a redirect was followed");
    let log =
        async |job: &str| answer(rig.get(&replica, &format!("/v1/jobs/{job}/webhooks"), &key)).await.json;
    let state = async |job: &str, state: &str| {
        wait_for("the message to be settled", PATIENCE, async || {
            Some(log(job).await).filter(|log| log["messages"][0]["state"] == state)
        })
        .await
        .unwrap()
    };
    let told = state(&jobs[0], "delivered").await;
    let attempts = told["attempts"].as_array().unwrap();
    assert_eq!(
        (attempts.len(), &attempts[1]["status"], &attempts[0]["status"]),
        (2, &json!(302), &json!(200)),
        "{told}"
    );
    assert!(
        attempts[1]["said"].as_str().unwrap().contains("not followed") && attempts[1]["nextTime"].is_string()
    );
    state(&jobs[1], "gone").await;
    state(&jobs[2], "delivered").await;
    // A receiver that wants no more gets no more, also of other jobs.
    let another = ordered(&rig, &replica, &key, json!({"url": over.url()})).await;
    completes(&rig, &another).await;
    let sentinel = ordered(&rig, &replica, &key, json!({"url": flaky.url()})).await;
    completes(&rig, &sentinel).await;
    flaky.gets(3).await;
    assert_eq!(over.got().len(), 1);
}

#[tokio::test]
async fn nothing_is_sent_to_addresses_that_are_not_public() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica_without_webhook_networks().await;
    let receiver = Receiver::start([]).await;
    let named = receiver.url().replace("127.0.0.1", "localhost");
    for url in [
        receiver.url(),
        named,
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://[::1]/".to_owned(),
    ] {
        let job = ordered(&rig, &replica, &key, json!({"url": url})).await;
        completes(&rig, &job).await;
        let path = format!("/v1/jobs/{job}/webhooks");
        let told = wait_for("an attempt", PATIENCE, async || {
            Some(answer(rig.get(&replica, &path, &key)).await.json)
                .filter(|log| log["attempts"][0].is_object())
        });
        let attempt = told.await.unwrap()["attempts"][0].clone();
        assert!(attempt["said"].as_str().unwrap().contains("is not a public address"), "{url}: {attempt}");
        assert_eq!(attempt["status"], Value::Null);
    }
    assert!(receiver.got().is_empty());
}

#[tokio::test]
async fn a_message_whose_sender_dies_is_sent_by_another_replica() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let mut dying = rig.replica().await;
    let receiver = Receiver::start([Reply::Never]).await;
    let job = ordered(&rig, &dying, &key, json!({"url": receiver.url()})).await;
    completes(&rig, &job).await;
    let first = receiver.gets(1).await.remove(0);
    dying.process.kill9().unwrap();
    let _other = rig.replica().await;
    let within = Duration::from_secs(90);
    let again =
        wait_for("the other's delivery", within, async || receiver.got().into_iter().nth(1)).await.unwrap();
    assert_eq!((again.header("webhook-id"), &again.body), (first.header("webhook-id"), &first.body));
}
