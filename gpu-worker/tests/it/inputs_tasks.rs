//! Tasks that start from files.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use queue::{InputSource, Reason, TaskInput, TaskSpec};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    inputs::{input, object, png},
    rig::{Rig, steps_of, workflow},
};

/// A loaded picture, saved again.
fn copied(input: TaskInput) -> TaskSpec {
    let graph = json!({
        "10": {"class_type": "LoadImage", "inputs": {"image": "placeholder.png"}},
        "11": {"class_type": "SaveImage", "inputs": {"images": ["10", 0], "filename_prefix": "copy"}},
    });
    TaskSpec { inputs: vec![input], ..workflow(graph) }
}

fn put(rig: &Rig, key: &str, content: &[u8]) {
    let file = rig.s3.object_file("images", key);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
    std::fs::write(file, content).expect("written");
}

fn reads(rig: &Rig, key: &str) -> usize {
    let path = format!("/images/{key}");
    rig.s3.requests().iter().filter(|request| request.method == "GET" && request.path == path).count()
}

fn first_pixel(file: &[u8]) -> [u8; 3] {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    reader.next_frame(&mut pixels).expect("pixels");
    [pixels[0], pixels[1], pixels[2]]
}

#[tokio::test]
async fn an_image_starts_from_an_object_of_the_bucket_and_from_what_stands_in_the_job() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    put(&rig, "inputs/a.png", &png([200, 100, 50]));
    let inline = input(InputSource::Inline { base64: STANDARD.encode(png([10, 20, 30])) });
    for (input, colour) in [(object("inputs/a.png"), [200, 100, 50]), (inline, [10, 20, 30])] {
        let job = rig.enqueue(copied(input), |_, _| ()).await;
        let file = rig.outcomes(&job, 1).await.remove(0).result.expect("made").outputs.remove(0);
        assert_eq!(file.width.zip(file.height), Some((16, 8)));
        assert_eq!(first_pixel(&rig.store.get(&file.key).await.expect("stored")), colour);
    }
}

#[tokio::test]
async fn two_tasks_of_a_job_fetch_their_input_once() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    put(&rig, "inputs/a.png", &png([1, 2, 3]));
    let job = rig.enqueue(copied(object("inputs/a.png")), |job, _| job.total = 2).await;
    let outcomes = rig.outcomes(&job, 2).await;
    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()), "{outcomes:?}");
    assert_eq!(reads(&rig, "inputs/a.png"), 1);
}

#[tokio::test]
async fn an_input_that_is_not_there_or_another_one_is_refused_before_the_engine_begins() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    put(&rig, "inputs/a.png", &png([1, 2, 3]));
    let wanted = format!("{:x}", Sha256::digest(b"another"));
    let another = TaskInput { sha256: Some(wanted.clone()), ..object("inputs/a.png") };
    for (input, words) in
        [(another, wanted.as_str()), (object("inputs/none.png"), "has no object inputs/none.png")]
    {
        let job = rig.enqueue(copied(input), |job, _| job.retries = 3).await;
        let outcome = rig.outcomes(&job, 1).await.remove(0);
        let error = outcome.result.expect_err("refused");
        assert_eq!((error.reason, outcome.attempts), (Reason::InputRefused, 1), "{error:?}");
        assert!(error.message.starts_with("input photo: ") && error.message.contains(words), "{error:?}");
    }
    assert_eq!(rig.sim.stats().prompts, 0);
}

#[tokio::test]
async fn a_task_whose_files_are_in_the_bucket_needs_no_input_any_more() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    put(&rig, "inputs/a.png", &png([1, 2, 3]));
    let spec = copied(object("inputs/a.png"));
    let job = rig.enqueue(spec.clone(), |_, _| ()).await;
    rig.outcomes(&job, 1).await.remove(0).result.expect("made");
    std::fs::remove_file(rig.s3.object_file("images", "inputs/a.png")).expect("removed");
    rig.queue.forget(&job).await.expect("forgotten");
    rig.enqueue(spec, |again, _| (again.uid, again.recheck) = (job.clone(), true)).await;
    assert!(rig.outcomes(&job, 1).await.remove(0).result.expect("found").found);
}
