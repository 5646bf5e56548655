//! Inputs on the whole way, from the queue to the picture: by a worker process.

use std::time::Duration;

use bytes::Bytes;
use queue::{InputSource, Job, JobUid, Outcome, Reason, TaskInput};
use serde_json::json;

use crate::{
    inputs::{input, object, png},
    rig::{Rig, steps_of},
};

/// A job that saves its input as it is.
fn job(input: &TaskInput, total: u32) -> Job {
    let graph = json!({
        "10": {"class_type": "LoadImage", "inputs": {"image": "photo"}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["10", 0], "filename_prefix": "x"}},
    });
    let payload = json!({"graph": graph, "inputs": [input], "timeoutSeconds": 60});
    Job {
        uid: JobUid(uuid::Uuid::new_v4().to_string()),
        tenant: "studio".into(),
        weight: 1.0,
        max_running: None,
        class: "standard".into(),
        work: String::new(),
        unit_ms: 1000.0,
        model: String::new(),
        arrival_ms: 1,
        sla: Duration::from_secs(300),
        units: 1.0,
        total,
        retries: 0,
        max_failed_images: None,
        listing: false,
        recheck: false,
        suspended: false,
        payload: Bytes::from(payload.to_string()),
    }
}

async fn run(rig: &Rig, job: &Job) -> Vec<Outcome> {
    rig.queue.enqueue(job).await.expect("queued");
    rig.outcomes(&job.uid, job.total as usize).await
}

fn reads(rig: &Rig, key: &str) -> usize {
    let path = format!("/images/{key}");
    rig.s3.requests().iter().filter(|request| request.method == "GET" && request.path == path).count()
}

#[tokio::test]
async fn all_images_of_a_job_share_one_fetch_and_one_that_is_found_needs_none() {
    let rig = Rig::start(steps_of(1)).await;
    let file = rig.s3.object_file("images", "inputs/a.png");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    std::fs::write(file, png([200, 100, 50])).expect("written");
    let _worker = rig.worker().await;
    let job = job(&object("inputs/a.png"), 5);
    for outcome in run(&rig, &job).await {
        assert!(outcome.result.is_ok(), "{outcome:?}");
    }
    assert_eq!(reads(&rig, "inputs/a.png"), 1);

    rig.queue.forget(&job.uid).await.expect("forgotten");
    let again = Job { recheck: true, ..job };
    for outcome in run(&rig, &again).await {
        assert!(outcome.result.expect("a picture").found);
    }
    assert_eq!(reads(&rig, "inputs/a.png"), 1);
    assert_eq!(rig.sim.stats().prompts, 5);
}

#[tokio::test]
async fn a_job_whose_input_is_refused_ends_at_once_and_says_why() {
    let rig = Rig::start(steps_of(1)).await;
    let _worker = rig.worker().await;
    let url = |url: &str| InputSource::Url {
        url: url.into(),
        hosts: vec!["files.example".into(), "10.0.0.1".into()],
    };
    let table = [
        (object("inputs/none.png"), "the pool's bucket has no object inputs/none.png that workers may read"),
        (
            input(url("https://169.254.169.254/latest/meta-data")),
            "the pool does not allow the host 169.254.169.254; it allows files.example, 10.0.0.1",
        ),
        (input(url("https://10.0.0.1/x.png")), "10.0.0.1 is not a public address"),
        (
            input(InputSource::Inline { base64: "PHN2Zz4=".into() }),
            "it is an SVG drawing, and a picture must be a PNG, JPEG or WebP file",
        ),
    ];
    for (input, expected) in table {
        let outcome = run(&rig, &job(&input, 1)).await.remove(0);
        let error = outcome.result.expect_err("refused");
        assert_eq!((error.reason, error.message), (Reason::InputRefused, format!("input photo: {expected}")));
        assert_eq!(outcome.attempts, 1);
    }
    assert_eq!(rig.sim.stats().prompts, 0);
}
