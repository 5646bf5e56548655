//! The manifest of a job, which the last worker writes.

use queue::{Order, TaskKind, WorkerId};
use serde_json::{Value, json};
use testkit::{S3Fault, wait_for};

use crate::rig::{PATIENCE, Picture, Rig, picture, steps_of};

async fn manifest(rig: &Rig, job: &queue::JobUid) -> Value {
    let state = rig.job(job, "the manifest", |state| state.listing.is_some()).await;
    let stored = state.listing.expect("listed").expect("stored");
    assert!(state.finished);
    assert_eq!(stored.key, rig.store.output().manifest_key(&job.0));
    assert_eq!(stored.url, Some(rig.store.output().url(&stored.key)));
    let file = rig.store.get(&stored.key).await.expect("stored");
    assert_eq!(file.len() as u64, stored.bytes);
    serde_json::from_slice(&file).expect("JSON")
}

#[tokio::test]
async fn after_the_last_image_the_manifest_lists_all_in_order() {
    let rig = Rig::start(steps_of(0)).await;
    let _workers = [rig.worker().await, rig.worker().await];
    // Seeds above 2^63 - 1 are texts, as not every reader keeps such numbers.
    let seed = u64::try_from(i64::MAX).expect("it fits") - 2;
    let job =
        rig.enqueue(Picture { seed, ..picture(1) }, |job, _| (job.total, job.listing) = (6, true)).await;
    let manifest = manifest(&rig, &job).await;
    assert_eq!((&manifest["namespace"], &manifest["uid"]), (&"studio".into(), &job.0.as_str().into()));
    let results = manifest["results"].as_array().expect("results");
    let outcomes = rig.outcomes(&job, 6).await;
    assert_eq!(results.len(), 6);
    for (n, (listed, outcome)) in (0u64..).zip(results.iter().zip(&outcomes)) {
        let made = &outcome.result.as_ref().expect("a picture").outputs[0];
        let expected: Value = if n <= 2 { (seed + n).into() } else { (seed + n).to_string().into() };
        assert_eq!((&listed["index"], &listed["seed"]), (&n.into(), &expected));
        assert_eq!((&listed["capacity"], &listed["attempts"]), (&"Spot".into(), &1.into()));
        let expected = json!([{
            "node": "9", "name": format!("image_{n:05}.png"), "mediaType": "image/png", "bytes": made.bytes,
            "sha256": made.sha256, "width": 512, "height": 512, "key": made.key,
            "url": rig.store.output().url(&made.key),
        }]);
        assert_eq!(listed["outputs"], expected);
    }
}

#[tokio::test]
async fn the_manifest_is_written_though_its_worker_dies_in_the_middle() {
    let rig = Rig::start(steps_of(50)).await;
    let mut first = rig.worker().await;
    let id = WorkerId(first.id.clone());
    let job = rig.enqueue(picture(10), |job, _| job.listing = true).await;
    rig.engine_works().await;
    rig.queue.order(&id, Order::Hold).await.expect("ordered");
    rig.job(&job, "the image", |state| state.succeeded == 1).await;

    rig.s3.misbehave([S3Fault::RefusePuts(503)]);
    rig.queue.order(&id, Order::Work).await.expect("ordered");
    let holds_it = wait_for("the listing to be begun", PATIENCE, async || {
        let leases = rig.queue.stats().await.expect("stats").leases;
        leases.iter().any(|lease| lease.kind == TaskKind::Listing).then_some(())
    });
    holds_it.await.expect("begun");
    first.kill9();
    rig.s3.misbehave([]);

    let _second = rig.worker().await;
    let manifest = manifest(&rig, &job).await;
    assert_eq!(manifest["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(rig.sim.stats().prompts, 1, "no image is made again");
}
