//! Streams of events.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::DeleteParams;
use queue::{JobUid, NodeProgress, RunningNode};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{S3, S3Options, wait_for};
use tokio::time::timeout;

use super::{created, job, made, picture, until_status};
use crate::{
    events::{Events, begin, tell},
    rig::{PATIENCE, Rig, answer},
};

/// The rest of a stream: names and data.
async fn rest(mut events: Events) -> Vec<(String, Value)> {
    let mut seen = vec![];
    while let Some(frame) = events.next().await {
        assert_eq!(frame.id, "", "events have no ids");
        seen.push((frame.event, frame.data));
    }
    seen
}

fn names(seen: &[(String, Value)]) -> Vec<&str> {
    seen.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn a_stream_tells_state_and_progress_and_at_last_files_and_the_end() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let id = created(&rig, &replica, &key, &picture("a cat")).await;
    let path = format!("/api/v2/jobs/{id}/events");
    let headers = rig.get(&replica, &path, &key).send().await.unwrap().headers().clone();
    assert_eq!(
        (&headers["cache-control"], &headers["x-accel-buffering"]),
        (&"no-cache".parse().unwrap(), &"no".parse().unwrap())
    );
    let mut events = Events::open(rig.get(&replica, &path, &key)).await;
    let first = events.next().await.unwrap();
    assert_eq!((first.event.as_str(), first.data), ("status", json!({"status": "queued"})));

    let uid = JobUid(rig.jobs().get(&id).await.unwrap().metadata.uid.unwrap());
    let queue = rig.queue("sd15").await;
    rig.say(&id, &[("Ready", "Running")], rig.output("sd15", &s3)).await;
    begin(&queue, &uid).await;
    let nodes = |done| NodeProgress {
        done,
        total: 8,
        running: Some(RunningNode { id: "3".into(), class: Some("KSampler".into()) }),
    };
    let began = Instant::now();
    let telling = async {
        for step in 1..=20 {
            tell(&queue, &uid, (step, 20), nodes(4)).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // The image is begun again: the bar stays where it is.
        tell(&queue, &uid, (1, 20), nodes(0)).await;
    };
    let watching = async {
        let (mut shown, mut status) = (vec![], None);
        loop {
            let frame = events.next().await.unwrap();
            match frame.event.as_str() {
                "status" => status = Some(frame.data["status"].clone()),
                _ => shown.push(frame.data),
            }
            if shown.last().is_some_and(|last| last["nodes_done"] == 0 && last["step"] == 1) {
                return (shown, status);
            }
        }
    };
    let ((), (shown, status)) = tokio::join!(telling, watching);
    assert_eq!(status, Some(json!("running")));
    let values: Vec<f64> = shown.iter().map(|progress| progress["value"].as_f64().unwrap()).collect();
    assert!(values.is_sorted() && values.iter().all(|value| (0.0..=1.0).contains(value)), "{values:?}");
    let at_most = 2 + usize::try_from(began.elapsed().as_millis()).unwrap() / 500;
    assert!((2..=at_most).contains(&shown.len()), "{} of at most {at_most}", shown.len());

    // Who comes now is told the state and how far it is, and nothing that is over.
    let mut later = Events::open(rig.get(&replica, &path, &key)).await;
    assert_eq!(later.next().await.unwrap().data, json!({"status": "running"}));
    assert_eq!(later.next().await.unwrap().event, "progress");

    rig.say(&id, &[("Ready", "Completed"), ("Complete", "Completed")], made(&rig, &s3, &["a.png", "b.png"]))
        .await;
    let seen = rest(events).await;
    assert_eq!(names(&seen), ["progress", "output", "output", "status"], "{seen:?}");
    assert_eq!((&seen[0].1["value"], &seen[3].1), (&json!(1.0), &json!({"status": "succeeded"})));
    let outputs = job(&rig, &replica, &key, &id).await["outputs"].clone();
    assert_eq!(json!([seen[1].1, seen[2].1]), outputs, "events have whole outputs");
    assert_eq!(names(&rest(later).await), ["progress", "output", "output", "status"]);
    // Of a job that has ended only that is told.
    let ended = rest(Events::open(rig.get(&replica, &path, &key)).await).await;
    assert_eq!(names(&ended), ["output", "output", "status"]);
}

#[tokio::test]
async fn files_come_as_they_are_made_and_a_failure_is_an_end_too() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let id = created(&rig, &replica, &key, &picture("a cat")).await;
    let mut events = Events::open(rig.get(&replica, &format!("/api/v2/jobs/{id}/events"), &key)).await;
    events.next().await.unwrap();
    rig.say(&id, &[("Ready", "Running")], made(&rig, &s3, &["a.png"])).await;
    let seen = [events.next().await.unwrap(), events.next().await.unwrap()];
    assert_eq!(seen.map(|frame| frame.event), ["status", "output"]);
    answer(rig.post(&replica, &format!("/api/v2/jobs/{id}/cancel"), &key)).await;
    assert_eq!(events.next().await.unwrap().data, json!({"status": "canceling"}));
    rig.say(&id, &[("Ready", "ImagesFailed"), ("Failed", "ImagesFailed")], json!({})).await;
    assert_eq!(rest(events).await, [("status".to_owned(), json!({"status": "failed"}))]);
}

#[tokio::test]
async fn of_too_many_streams_the_last_are_told_to_poll() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica_with(&["--max-streams=2"]).await;
    let id = created(&rig, &replica, &key, &picture("a cat")).await;
    let open = || rig.get(&replica, &format!("/api/v2/jobs/{id}/events"), &key);
    let (first, _second) = (Events::open(open()).await, Events::open(open()).await);
    let refused = answer(open()).await;
    assert_eq!(
        (refused.status, &refused.json["error"]["code"]),
        (StatusCode::NOT_IMPLEMENTED, &json!("not_implemented"))
    );
    drop(first);
    wait_for("there to be room again", PATIENCE, async || {
        (open().send().await.ok()?.status() == StatusCode::OK).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_stream_ends_with_its_job_or_its_key_and_is_never_silent() {
    let rig = Rig::start().await;
    rig.tenant("acme", json!({})).await;
    let key = rig.key(&["--tenant", "acme", "--name", "web"]).await;
    let replica = rig.replica().await;
    let (gone, kept) = (
        created(&rig, &replica, &key, &picture("a cat")).await,
        created(&rig, &replica, &key, &picture("a dog")).await,
    );
    let path = |id: &str| format!("/api/v2/jobs/{id}/events");
    let mut deleted = Events::open(rig.get(&replica, &path(&gone), &key)).await;
    deleted.next().await.unwrap();
    let silent = rig.get(&replica, &path(&kept), &key).send().await.unwrap();
    let mut silent = silent.bytes_stream();
    silent.next().await.unwrap().unwrap();
    let began = Instant::now();
    answer(rig.delete(&replica, &format!("/v1/jobs/{gone}"), &key)).await;
    assert!(timeout(Duration::from_secs(5), deleted.next()).await.expect("ends in time").is_none());
    let comment = timeout(Duration::from_secs(20), silent.next()).await.expect("a comment in time");
    let comment = comment.unwrap().unwrap();
    assert!(comment.starts_with(b":") && began.elapsed() > Duration::from_secs(10), "{comment:?}");
    rig.secrets().delete("web", &DeleteParams::default()).await.unwrap();
    assert!(timeout(Duration::from_secs(10), silent.next()).await.expect("ends in time").is_none());
}

#[tokio::test]
async fn a_job_that_ends_before_it_is_followed_is_told_like_one_that_ends_meanwhile() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let id = created(&rig, &replica, &key, &picture("a cat")).await;
    rig.say(&id, &[("Ready", "Cancelled"), ("Failed", "Cancelled")], json!({})).await;
    until_status(&rig, &replica, &key, &id, "canceled").await;
    let events = Events::open(rig.get(&replica, &format!("/api/v2/jobs/{id}/events"), &key)).await;
    assert_eq!(rest(events).await, [("status".to_owned(), json!({"status": "canceled"}))]);
}
