//! Everything goes well.

use std::{collections::HashSet, io::Cursor, time::Duration};

use bytes::Bytes;
use queue::{JobUid, NodeProgress, Order, Outcome, RunningNode, TaskResult};
use serde_json::json;
use store::FileFacts;
use testkit::wait_for;

use crate::rig::{MODEL, PATIENCE, Rig, picture, steps_of, workflow};

fn result(outcome: &Outcome) -> &TaskResult {
    outcome.result.as_ref().expect("a picture")
}

fn size_of(png: &Bytes) -> (u32, u32) {
    png::Decoder::new(Cursor::new(png)).read_info().expect("a PNG").info().size()
}

#[tokio::test]
async fn a_job_of_four_ends_with_four_pictures_in_the_bucket() {
    let rig = Rig::start(steps_of(1)).await;
    let worker = rig.worker().await;

    let job = rig.enqueue(picture(4), |job, _| job.total = 4).await;
    let outcomes = rig.outcomes(&job, 4).await;

    for (i, outcome) in (0..).zip(&outcomes) {
        let TaskResult { outputs, seed, gpu_ms, capacity, worker: maker, found, timings: _ } =
            result(outcome);
        let [image] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!((outcome.index, outcome.attempts, *found), (i, 1, false));
        assert_eq!((capacity.as_str(), &maker.0), ("spot", &worker.id));
        assert!((4..2_000).contains(gpu_ms), "{gpu_ms} ms");
        assert_eq!((image.width, image.height, *seed), (Some(512), Some(512), Some(42 + u64::from(i))));
        assert_eq!(image.key, rig.store.output().file_key(&job.0, i, 0, "png"));
        let object = rig.store.get(&image.key).await.expect("stored");
        assert_eq!(size_of(&object), (512, 512));
        assert_eq!(object.len() as u64, image.bytes);
        let facts = rig.store.head(&image.key).await.expect("stored").facts.expect("facts");
        assert_eq!((facts.seed, facts.attempt, facts.extensions), (*seed, 1, vec!["png".to_owned()]));
    }
    let etags: HashSet<_> = outcomes.iter().map(|outcome| &result(outcome).outputs[0].etag).collect();
    assert_eq!(etags.len(), 4, "no two pictures are the same");
    worker.says("/metrics", 200, "gpu_worker_tasks_total{outcome=\"completed\"} 4").await;
}

#[tokio::test]
async fn a_workflow_with_two_outputs_stores_all_but_its_previews() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;

    let graph = json!({
        "20": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "large"}},
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}},
        "2": {"class_type": "EmptyImage", "inputs": {"width": 128, "height": 64, "batch_size": 2, "color": 65280}},
        "10": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "small"}},
        "11": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    });
    let job = rig.enqueue(workflow(graph), |_, _| ()).await;
    let outcomes = rig.outcomes(&job, 1).await;

    let images = &result(&outcomes[0]).outputs;
    let sizes: Vec<_> = images.iter().map(|image| image.width.zip(image.height).expect("a size")).collect();
    assert_eq!(sizes, [(64, 64), (128, 64), (128, 64)], "by the numbers of their nodes");
    for (n, image) in images.iter().enumerate() {
        assert_eq!(image.key, rig.store.output().file_key(&job.0, 0, n, "png"));
        let object = rig.store.get(&image.key).await.expect("stored");
        assert_eq!(size_of(&object), sizes[n]);
    }
}

#[tokio::test]
async fn a_workflow_that_only_previews_gives_its_preview() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    });
    let job = rig.enqueue(workflow(graph), |_, _| ()).await;
    assert_eq!(result(&rig.outcomes(&job, 1).await[0]).outputs.len(), 1);
}

#[tokio::test]
async fn a_picture_of_an_earlier_attempt_is_found_and_not_made_again() {
    let rig = Rig::start(steps_of(0)).await;
    let uid = JobUid("an-earlier-one".into());
    let key = rig.store.output().file_key(&uid.0, 0, 0, "png");
    let facts = FileFacts {
        node: "9".into(),
        name: "image_00000.png".into(),
        media_type: "image/png".into(),
        width: Some(512),
        height: Some(512),
        duration_ms: None,
        sha256: "0123".into(),
        seed: Some(42),
        gpu_ms: 777,
        attempt: 1,
        capacity: "onDemand".into(),
        worker: "long-gone".into(),
        extensions: vec!["png".into()],
        labels: String::new(),
    };
    rig.store.put_file(&key, Bytes::from_static(b"a picture"), &facts).await.expect("stored");

    let _worker = rig.worker().await;
    rig.enqueue(picture(4), |job, _| (job.uid, job.recheck) = (uid.clone(), true)).await;
    let outcomes = rig.outcomes(&uid, 1).await;

    let found = result(&outcomes[0]);
    assert!(found.found);
    assert_eq!(
        (found.gpu_ms, found.capacity.as_str(), found.worker.0.as_str()),
        (777, "onDemand", "long-gone")
    );
    assert_eq!((found.seed, found.outputs[0].bytes), (Some(42), 9));
    assert_eq!(rig.sim.stats().prompts, 0, "the engine had nothing to do");
}

#[tokio::test]
async fn steps_and_the_loaded_model_are_told_with_the_heartbeat() {
    let rig = Rig::start(steps_of(250)).await;
    let worker = rig.worker().await;
    let job = rig.enqueue(picture(20), |_, _| ()).await;
    let progress = wait_for("progress", PATIENCE, async || {
        rig.queue.stats().await.expect("stats").leases.first()?.progress
    });
    let (done, total) = progress.await.expect("told");
    assert!(done >= 1 && total == 20, "{done}/{total}");
    let image = rig.queue.progress(&job).await.expect("told").remove(0);
    assert_eq!((image.index, image.worker.0.as_str()), (0, worker.id.as_str()));
    assert!(image.steps >= Some((done, total)), "{image:?}");
    let nodes = image.nodes.expect("told with the steps");
    let sampler = RunningNode { id: "3".into(), class: Some("KSampler".into()) };
    // Done are the loader, both texts and the empty latent; decoder and saver are to come.
    assert_eq!(nodes, NodeProgress { done: 4, total: 7, running: Some(sampler) });

    rig.outcomes(&job, 1).await;
    let loaded = wait_for("the model", PATIENCE, async || {
        let stats = rig.queue.stats().await.expect("stats");
        stats.workers.into_iter().find(|seen| seen.worker.0 == worker.id)?.loaded
    });
    assert_eq!(loaded.await.expect("told"), MODEL);
}

/// Whatever loads it: a claim prefers work for what is really in the engine's memory.
#[tokio::test]
async fn the_model_that_is_told_is_that_of_the_last_picture() {
    let rig = Rig::start(steps_of(0)).await;
    let worker = rig.worker_with(&["--warm-model=warm"]);
    worker.is_ready().await;
    let graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}
    });
    let told = async |model: &str| {
        let job = rig.enqueue(workflow(graph.clone()), |job, _| job.model = model.to_owned()).await;
        rig.outcomes(&job, 1).await;
        let expected = Some(model.to_owned()).filter(|model| !model.is_empty());
        wait_for("the model", PATIENCE, async || (rig.seen(&worker).await?.loaded == expected).then_some(()))
            .await
            .unwrap_or_else(|error| panic!("{model:?} is not told: {error}"));
    };
    for model in ["unet+clip+vae of flux", "another flux", MODEL, "", "warm"] {
        told(model).await;
    }
}

#[tokio::test]
async fn new_work_is_begun_at_once() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let mut waits = Vec::new();
    for _ in 0..6 {
        let started = std::time::Instant::now();
        let job = rig.enqueue(picture(1), |_, _| ()).await;
        rig.outcomes(&job, 1).await;
        waits.push(started.elapsed());
    }
    // A worker that only looked now and then has just looked when one job ends, and takes a second for each but the
    // first. The quickest counts: on a busy machine some take long whatever wakes them.
    let quickest = waits.iter().skip(1).min().expect("five");
    assert!(*quickest < Duration::from_millis(900), "{waits:?}");
}

#[tokio::test]
async fn a_retired_worker_exits_once_it_is_idle() {
    let rig = Rig::start(steps_of(100)).await;
    let mut worker = rig.worker().await;
    let job = rig.enqueue(picture(15), |_, _| ()).await;
    rig.engine_works().await;

    rig.queue.order(&queue::WorkerId(worker.id.clone()), Order::Retire).await.expect("ordered");

    assert!(worker.exit().await.success());
    assert_eq!(rig.outcomes(&job, 1).await.len(), 1, "after its last picture");
}
