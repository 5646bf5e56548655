//! Inputs in the engine: fetched once, named by their hash, and gone when nobody needs them.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::future::join_all;
use gpu_worker::inputs::Keep;
use queue::{InputKind, InputSource, TaskInput};
use sha2::{Digest, Sha256};
use testkit::wait_for;

use crate::{
    hostile::Answer,
    inputs::{Bench, all_here, input, job, object, png, url},
    rig::PATIENCE,
};

fn sha256(content: &[u8]) -> String {
    format!("{:x}", Sha256::digest(content))
}

async fn bench() -> Bench {
    Bench::start(|_| Answer::ok(&png([1; 3]))).await
}

/// One that keeps nothing once it is idle.
async fn forgetful() -> Bench {
    let keep = Keep { idle: Duration::ZERO, ..Keep::default() };
    Bench::start_with(|_| Answer::ok(&png([1; 3])), all_here, Duration::from_secs(10), keep).await
}

fn reads(bench: &Bench, key: &str) -> usize {
    let path = format!("/images/{key}");
    bench.s3.requests().iter().filter(|request| request.method == "GET" && request.path == path).count()
}

#[tokio::test]
async fn a_hundred_tasks_with_one_input_fetch_it_once() {
    let bench = bench().await;
    bench.put("inputs/a.png", &png([2; 3]));
    for inputs in [[url("https://files.example/x")], [object("inputs/a.png")]] {
        let job = job("a");
        let all = join_all((0..100).map(|_| bench.inputs.prepare(&job, &inputs))).await;
        let names: Vec<_> = all.iter().map(|one| one.as_ref().expect("prepared").names()).collect();
        assert!(names.iter().all(|name| *name == names[0]));
        let written = bench.written(&names[0][0].1).expect("lent");
        let later = bench.inputs.prepare(&job, &inputs).await.expect("prepared");
        assert_eq!(later.names(), names[0]);
        assert_eq!(
            bench.written(&names[0][0].1).expect("lent"),
            written,
            "it is not given to the engine again"
        );
    }
    assert_eq!((bench.server.requests().len(), reads(&bench, "inputs/a.png")), (1, 1));
}

#[tokio::test]
async fn one_file_goes_to_every_place_that_wants_it() {
    let bench = bench().await;
    let mut twice = url("https://files.example/x");
    twice.to = vec!["10.image".into(), "57:8.images.image0".into(), "99.image".into()];
    let prepared = bench.inputs.prepare(&job("a"), &[twice]).await.expect("prepared");
    let name = prepared.names()[0].1.clone();
    let graph = serde_json::json!({
        "10": {"class_type": "LoadImage", "inputs": {"image": "user.png"}},
        "57:8": {"class_type": "Batch", "inputs": {}},
    });
    let mut nodes = graph.as_object().cloned().expect("a graph");
    prepared.place(&mut nodes);
    assert_eq!(nodes["10"]["inputs"]["image"], name.as_str());
    assert_eq!(nodes["57:8"]["inputs"]["images.image0"], name.as_str());
    assert_eq!(nodes.len(), 2);
}

#[tokio::test]
async fn an_input_goes_from_the_engine_after_the_last_task_that_uses_it() {
    let bench = forgetful().await;
    let inputs = bench.inputs.clone();
    let tidying = tokio::spawn(async move { inputs.keep_tidy().await });
    let input = [url("https://files.example/x")];
    // Another job has the same content under another URL.
    let same = [url("https://files.example/y")];
    let (a, b) = (job("a"), job("b"));
    let first = bench.inputs.prepare(&a, &input).await.expect("prepared");
    let second = bench.inputs.prepare(&a, &input).await.expect("prepared");
    let third = bench.inputs.prepare(&b, &same).await.expect("prepared");
    let name = first.names()[0].1.clone();
    assert_eq!(third.names()[0].1, name);
    let size = |name: &str| bench.lent(name).metadata().expect("a file").len();
    drop(first);
    drop(second);
    // The next input shows that those that were idle have been looked through.
    let last = [object("inputs/b.png")];
    bench.put("inputs/b.png", &png([7; 3]));
    let other = bench.inputs.prepare(&a, &last).await.expect("prepared").names()[0].1.clone();
    let gone = async |name: &str| {
        wait_for("the file to go", PATIENCE, async || (size(name) == 0).then_some(())).await
    };
    gone(&other).await.expect("gone");
    assert!(size(&name) > 0, "a task still uses it");
    drop(third);
    gone(&name).await.expect("gone");
    tidying.abort();
}

#[tokio::test]
async fn at_the_workers_end_the_engine_keeps_nothing() {
    let bench = bench().await;
    let name = bench.prepare(&url("https://files.example/x")).await.expect("prepared");
    assert!(bench.lent(&name).metadata().expect("a file").len() > 0, "it is kept for the job's next task");
    bench.inputs.clear().await;
    assert_eq!(bench.lent(&name).metadata().expect("a file").len(), 0);
}

#[tokio::test]
async fn an_engine_that_was_restarted_gets_its_inputs_again() {
    let mut bench = bench().await;
    let input = url("https://files.example/x");
    let name = bench.prepare(&input).await.expect("prepared");
    bench.sim.stop();
    let mut state = bench.engine.state();
    let lost = state.wait_for(|state| state.trouble().is_some());
    tokio::time::timeout(PATIENCE, lost).await.expect("in time").expect("noticed");
    drop(state);
    wait_for("the engine's port", PATIENCE, async || bench.sim.restart().ok()).await.expect("restarted");
    assert!(!bench.lent(&name).exists(), "it has emptied its folder");
    bench.connected().await;
    let again = wait_for("the engine to be back", PATIENCE, async || bench.prepare(&input).await.ok()).await;
    assert_eq!(again.expect("prepared"), name);
    assert!(bench.lent(&name).metadata().expect("a file").len() > 0);
}

#[tokio::test]
async fn content_that_is_not_the_one_named_is_refused() {
    let bench = bench().await;
    let (is, wanted) = (sha256(&png([1; 3])), sha256(b"another"));
    let right = TaskInput { sha256: Some(is.to_uppercase()), ..url("https://files.example/x") };
    assert_eq!(bench.prepare(&right).await.expect("the one named"), format!("{is}.png [temp]"));
    let wrong = TaskInput { sha256: Some(wanted.clone()), ..right };
    let told = bench.prepare(&wrong).await.expect_err("another");
    let expected = format!("input photo: its SHA-256 is {is}, and the job says {wanted}");
    assert_eq!(told, (expected, "InputRefused".into()));
}

#[tokio::test]
async fn an_object_is_read_within_the_limit_and_a_missing_one_is_named() {
    let bench = bench().await;
    bench.put("inputs/a.png", &png([4; 3]));
    bench.prepare(&object("inputs/a.png")).await.expect("prepared");
    let small = TaskInput { max_bytes: 10, ..object("inputs/a.png") };
    assert_eq!(bench.prepare(&small).await.expect_err("large").0, "input photo: it is larger than 10 bytes");
    let told = bench.prepare(&object("inputs/none.png")).await.expect_err("missing");
    let expected = "input photo: the pool's bucket has no object inputs/none.png that workers may read";
    assert_eq!(told, (expected.into(), "InputRefused".into()));
}

#[tokio::test]
async fn a_bucket_that_is_away_is_nothing_against_the_job() {
    let bench = bench().await;
    bench.put("inputs/a.png", &png([4; 3]));
    bench.s3.fail_next([503; 4]);
    let (words, reason) = bench.prepare(&object("inputs/a.png")).await.expect_err("away");
    assert!(words.starts_with("input photo: the pool's bucket can't be read: "), "{words}");
    assert_eq!(reason, "OutputFailed", "the pool's fault");
}

#[tokio::test]
async fn files_are_passed_on_by_what_they_are_and_pictures_are_cleaned_all_the_same() {
    let bench = bench().await;
    let file = |content: &[u8]| TaskInput {
        kind: InputKind::File,
        ..input(InputSource::Inline { base64: STANDARD.encode(content) })
    };
    let header = br#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    let latent = [&(header.len() as u64).to_le_bytes()[..], header, b"x"].concat();
    let name = bench.prepare(&file(&latent)).await.expect("a latent");
    assert_eq!(name, format!("{}.safetensors [temp]", sha256(&latent)));
    assert_eq!(std::fs::read(bench.lent(&name)).expect("lent"), latent);
    let told = bench.prepare(&file(b"GIF89a...")).await.expect_err("a GIF");
    assert!(told.0.starts_with("input photo: it is a GIF, and a picture must be "), "{}", told.0);
    let polyglot = [png([1; 3]), b"PK\x03\x04".to_vec()].concat();
    let name = bench.prepare(&file(&polyglot)).await.expect("a picture");
    assert_eq!(name, format!("{}.png [temp]", sha256(&polyglot)));
    assert_ne!(std::fs::read(bench.lent(&name)).expect("lent"), polyglot);
    let told = bench.prepare(&file(b"\x80\x04\x95pickle")).await.expect_err("a pickle");
    assert!(told.0.starts_with("input photo: it is of an unknown kind, and only pictures, "), "{}", told.0);
    let told =
        bench.prepare(&input(InputSource::Inline { base64: "%".into() })).await.expect_err("no base64");
    assert!(told.0.starts_with("input photo: it is not base64: "), "{}", told.0);
}
