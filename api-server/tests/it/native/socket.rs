//! `/ws`: what clients are told of their prompts.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use kube::api::DeleteParams;
use queue::{NodeProgress, RunningNode};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{S3, S3Options, wait_for};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _},
};

use super::{cancelled, complete, fail, get, history, post, send, uid};
use crate::{
    clients::Shop,
    events::{begin, tell},
    rig::{PATIENCE, Replica, Rig},
};

/// A client's end of a WebSocket.
struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Connects, and takes the first message.
    async fn open(replica: &Replica, client_id: &str, key: &str) -> (Self, Value) {
        let mut socket = Self::try_open(replica, &format!("/ws?clientId={client_id}"), key).await.unwrap();
        let first = socket.next().await.unwrap();
        assert_eq!((&first["type"], &first["data"]["sid"]), (&json!("status"), &json!(client_id)));
        (socket, first["data"]["status"]["exec_info"]["queue_remaining"].clone())
    }

    async fn try_open(replica: &Replica, path: &str, key: &str) -> Result<Self, Error> {
        let mut request = format!("ws://{}{path}", replica.address).into_client_request()?;
        let headers = request.headers_mut();
        // As websocket-client does.
        headers.insert("origin", format!("http://{}", replica.address).parse().unwrap());
        if !key.is_empty() {
            headers.insert("authorization", format!("Bearer {key}").parse().unwrap());
        }
        connect_async(request).await.map(|(socket, _)| Self(socket))
    }

    /// The next message; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("a message in time")? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn until(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut seen = vec![];
        loop {
            let next = self.next().await.unwrap_or_else(|| panic!("it goes on after {seen:?}"));
            seen.push(next);
            if seen.last().is_some_and(&is_wanted) {
                return seen;
            }
        }
    }

    /// All messages until the last of a prompt.
    async fn until_over(&mut self, id: &str) -> Vec<Value> {
        self.until(|message| is_last(message, id)).await
    }

    /// Whether nothing comes for a while.
    async fn is_silent(&mut self) -> bool {
        timeout(Duration::from_millis(1500), self.next()).await.is_err()
    }
}

fn is_last(message: &Value, id: &str) -> bool {
    message["type"] == "executing" && message["data"]["node"].is_null() && message["data"]["prompt_id"] == id
}

fn kinds(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["type"].as_str().unwrap()).collect()
}

fn sampling(done: u32) -> NodeProgress {
    let running = RunningNode { id: "3".into(), class: Some("KSampler".into()) };
    NodeProgress { done, total: 6, running: Some(running) }
}

/// A tenant's studio with a pool.
async fn studio() -> (Rig, S3, String) {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    rig.pool("sd15", &s3, |_| ()).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    (rig, s3, key)
}

#[tokio::test]
async fn a_prompt_is_told_from_its_start_to_its_end_by_any_replica() {
    let (rig, s3, key) = studio().await;
    let (a, b) = (rig.replica().await, rig.replica().await);
    let (mut here, remaining) = Socket::open(&a, "me", &key).await;
    let (mut there, _) = Socket::open(&b, "me", &key).await;
    let (mut another, _) = Socket::open(&a, "another", &key).await;
    assert_eq!(remaining, 0);
    let id = send(&rig, &a, &key, "me", "a cat").await;
    let queue = rig.queue("sd15").await;
    rig.say(&id, &[("Ready", "Running")], rig.output("sd15", &s3)).await;
    let uid = uid(&rig, &id).await;
    begin(&queue, &uid).await;
    tell(&queue, &uid, (10, 20), sampling(3)).await;
    for socket in [&mut here, &mut there] {
        let told = socket.until(|message| message["type"] == "progress").await;
        assert_eq!(kinds(&told), ["status", "execution_start", "execution_cached", "executing", "progress"]);
        assert_eq!(told[0]["data"], json!({"status": {"exec_info": {"queue_remaining": 1}}}));
        assert_eq!((&told[1]["data"]["prompt_id"], &told[2]["data"]["nodes"]), (&json!(id), &json!([])));
        assert_eq!(told[3]["data"], json!({"node": "3", "display_node": "3", "prompt_id": id}));
        assert_eq!(told[4]["data"], json!({"value": 10, "max": 20, "prompt_id": id, "node": "3"}));
    }
    complete(&rig, &id, json!({})).await;
    for (socket, replica) in [(&mut here, &a), (&mut there, &b)] {
        let told = socket.until(|message| message["type"] == "executed").await;
        assert_eq!(kinds(&told), ["executed"]);
        // The history has it by now.
        let shown = get(&rig, replica, &format!("/history/{id}"), &key).await.json;
        assert_eq!(told[0]["data"]["output"], shown[&id]["outputs"]["9"]);
        assert_eq!((&told[0]["data"]["node"], &told[0]["data"]["prompt_id"]), (&json!("9"), &json!(id)));
        let told = socket.until_over(&id).await;
        assert_eq!(kinds(&told), ["execution_success", "status", "executing"]);
        assert_eq!(told[1]["data"]["status"]["exec_info"]["queue_remaining"], 0);
        assert!(socket.is_silent().await);
    }
    // Another client of the key hears how many prompts there are, and no more.
    let told = another.until(|message| message["data"]["status"]["exec_info"]["queue_remaining"] == 0).await;
    assert_eq!(kinds(&told), ["status", "status"]);
    assert!(another.is_silent().await);
}

#[tokio::test]
async fn whoever_connects_late_is_told_what_runs_and_a_lost_attempt_is_not_told() {
    let (rig, s3, key) = studio().await;
    let replica = rig.replica().await;
    let id = send(&rig, &replica, &key, "me", "a cat").await;
    let waits = send(&rig, &replica, &key, "me", "a dog").await;
    let queue = rig.queue("sd15").await;
    rig.say(&id, &[("Ready", "Running")], rig.output("sd15", &s3)).await;
    let uid = uid(&rig, &id).await;
    begin(&queue, &uid).await;
    tell(&queue, &uid, (10, 20), sampling(3)).await;
    let (mut late, remaining) = Socket::open(&replica, "me", &key).await;
    assert_eq!(remaining, 2);
    let told = late.until(|message| message["type"] == "progress").await;
    assert_eq!(kinds(&told), ["execution_start", "execution_cached", "executing", "progress"]);
    assert_eq!(told[3]["data"]["value"], 10);

    // The machine is taken away: the job waits again, and another attempt begins.
    rig.say(&id, &[("Ready", "Waiting")], json!({})).await;
    assert!(late.is_silent().await);
    rig.say(&id, &[("Ready", "Running")], json!({})).await;
    tell(&queue, &uid, (2, 20), sampling(3)).await;
    let told = late.until(|message| message["type"] == "progress").await;
    assert_eq!(kinds(&told), ["progress"]);
    assert_eq!(told[0]["data"]["value"], 2);

    fail(&rig, &id).await;
    let told = late.until_over(&id).await;
    assert_eq!(kinds(&told), ["execution_error", "status", "executing"]);
    let error = &told[0]["data"];
    assert_eq!(
        (&error["node_id"], &error["node_type"], &error["exception_type"], &error["traceback"]),
        (&json!("3"), &json!("KSampler"), &json!("NodeFailed"), &json!([]))
    );
    assert!(error["exception_message"].as_str().unwrap().contains("out of luck"));
    history(&rig, &replica, &key, &id).await;

    // One that is stopped before it began.
    post(&rig, &replica, "/queue", &key, &json!({"delete": [waits]})).await;
    cancelled(&rig, &waits).await;
    let told = late.until_over(&waits).await;
    assert_eq!(kinds(&told), ["execution_interrupted", "status", "executing"]);
    assert_eq!(told[1]["data"]["status"]["exec_info"]["queue_remaining"], 0);

    // One that is deleted.
    let deleted = send(&rig, &replica, &key, "me", "a bird").await;
    late.until(|message| message["type"] == "status").await;
    rig.jobs().delete(&deleted, &DeleteParams::default()).await.unwrap();
    assert_eq!(kinds(&late.until_over(&deleted).await), ["execution_interrupted", "status", "executing"]);

    // After the end there is only how many prompts there are.
    let (mut after, remaining) = Socket::open(&replica, "me", &key).await;
    assert_eq!(remaining, 0);
    assert!(after.is_silent().await);
}

#[tokio::test]
async fn a_socket_is_for_whoever_has_the_key() {
    let (rig, _s3, key) = studio().await;
    let second = rig.key(&["--tenant", "acme"]).await;
    let other = rig.tenant_with_key("other", json!({})).await;
    let replica = rig.replica().await;
    for (path, key) in [("/ws", ""), ("/ws", "ij_wrong"), ("/ws?token=ij_wrong", "")] {
        match Socket::try_open(&replica, path, key).await.err() {
            Some(Error::Http(refused)) => assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
    assert!(!replica.said().contains("ij_wrong"));
    let by_token = format!("/api/ws?clientId=me&token={key}");
    let mut mine = Socket::try_open(&replica, &by_token, "").await.unwrap();
    assert_eq!(mine.next().await.unwrap()["data"]["sid"], "me");
    let mut foreign = vec![];
    for key in [&second, &other] {
        foreign.push(Socket::open(&replica, "me", key).await.0);
    }
    let mut nameless = Socket::try_open(&replica, "/ws", &key).await.unwrap();
    assert_eq!(nameless.next().await.unwrap()["data"]["sid"].as_str().unwrap().len(), 32);

    let id = send(&rig, &replica, &key, "me", "a cat").await;
    complete(&rig, &id, json!({})).await;
    // Nobody saw it begin.
    let told = mine.until_over(&id).await;
    assert_eq!(
        kinds(&told),
        [
            "status",
            "execution_start",
            "execution_cached",
            "executed",
            "execution_success",
            "status",
            "executing"
        ]
    );
    for socket in &mut foreign {
        assert!(socket.is_silent().await);
    }
    let flags = json!({"type": "feature_flags", "data": {"supports_preview_metadata": true}});
    for text in ["not JSON".to_owned(), flags.to_string()] {
        mine.0.send(Message::Text(text.into())).await.unwrap();
    }
    let answer = mine.next().await.unwrap();
    assert_eq!(
        (&answer["type"], &answer["data"]["supports_preview_metadata"]),
        (&json!("feature_flags"), &json!(false))
    );
}

#[tokio::test]
async fn a_socket_ends_when_its_key_is_revoked_or_its_replica_stops() {
    let (rig, _s3, key) = studio().await;
    let revoked = rig.key(&["--tenant", "acme", "--name", "web"]).await;
    let mut replica = rig.replica().await;
    let (mut of_revoked, _) = Socket::open(&replica, "me", &revoked).await;
    let (mut of_stopped, _) = Socket::open(&replica, "me", &key).await;
    rig.secrets().delete("web", &DeleteParams::default()).await.unwrap();
    assert!(timeout(Duration::from_secs(10), of_revoked.next()).await.expect("it ends in time").is_none());
    wait_for("the key to end", PATIENCE, async || {
        (get(&rig, &replica, "/prompt", &revoked).await.status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await
    .unwrap();
    let stopped = tokio::task::spawn_blocking(move || replica.process.terminate().map(|()| replica.said()));
    // It is closed, not cut.
    let last = timeout(Duration::from_secs(4), of_stopped.0.next()).await.expect("it ends in time");
    assert!(matches!(last, Some(Ok(Message::Close(_)))), "{last:?}");
    assert!(!stopped.await.unwrap().unwrap().contains("still running"));
}

#[tokio::test]
async fn comfyuis_own_example_gets_its_pictures() {
    Shop::open().await.run("comfyui_native.py").await;
}
