//! Files of all kinds that an engine makes, on their way into the bucket.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use comfyui_sim::{Fault, FaultKind, Options, Timing};
use queue::{Format, JobUid, Reason, StoredFile, TaskResult, TaskSpec};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::rig::{Picture, Rig, picture, steps_of, workflow};

/// In the graph, so that it would be in the file too.
const SECRET: &str = "sk-test-not-a-real-key";

/// An output node over two grey pictures, a video of them, a second of silence and a mesh.
fn output(class: &str, inputs: &Value) -> Value {
    let mut graph = json!({
        "1": {"class_type": "EmptyImage", "inputs": {
            "width": 24, "height": 16, "batch_size": 2, "color": 8_421_504, "api_key": SECRET}},
        "2": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 8}},
        "3": {"class_type": "EmptyAudio", "inputs": {
            "duration": 1.0, "sample_rate": 44_100, "channels": 2, "api_key": SECRET}},
        "4": {"class_type": "VoxelToMesh", "inputs": {"voxel": ["5", 0], "algorithm": "basic", "threshold": 0.6}},
        "5": {"class_type": "VAEDecodeHunyuan3D", "inputs": {
            "samples": ["6", 0], "vae": ["7", 0], "num_chunks": 8000, "octree_resolution": 256}},
        "6": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "7": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
        "9": {"class_type": class, "inputs": {"filename_prefix": "shop/out"}},
    });
    for (name, value) in inputs.as_object().into_iter().flatten() {
        graph["9"]["inputs"][name] = value.clone();
    }
    graph
}

fn webp() -> Value {
    let inputs = json!({"images": ["1", 0], "fps": 8, "lossless": true, "quality": 80, "method": "default"});
    output("SaveAnimatedWEBP", &inputs)
}

fn mp4() -> Value {
    output("SaveVideo", &json!({"video": ["2", 0], "format": "mp4", "format.codec": "h264"}))
}

fn flac() -> Value {
    output("SaveAudio", &json!({"audio": ["3", 0]}))
}

fn webm() -> Value {
    output("SaveWEBM", &json!({"images": ["1", 0], "codec": "vp9", "fps": 8, "crf": 32}))
}

fn mp3() -> Value {
    output("SaveAudioMP3", &json!({"audio": ["3", 0], "quality": "V0"}))
}

fn opus() -> Value {
    output("SaveAudioOpus", &json!({"audio": ["3", 0], "quality": "128k"}))
}

fn glb() -> Value {
    output("SaveGLB", &json!({"mesh": ["4", 0]}))
}

/// As VideoHelper lists its files.
fn helper(format: &str) -> Value {
    let inputs = json!({
        "images": ["1", 0], "frame_rate": 8, "loop_count": 0, "format": format, "pingpong": false, "save_output": true,
    });
    output("VHS_VideoCombine", &inputs)
}

async fn result(rig: &Rig, job: &JobUid) -> TaskResult {
    rig.outcomes(job, 1).await.remove(0).result.expect("made")
}

async fn made_of(rig: &Rig, spec: TaskSpec) -> Vec<StoredFile> {
    let job = rig.enqueue(spec, |_, _| ()).await;
    result(rig, &job).await.outputs
}

async fn only(rig: &Rig, spec: TaskSpec) -> StoredFile {
    let mut files = made_of(rig, spec).await;
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

fn holds(file: &[u8], text: &str) -> bool {
    file.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn every_kind_of_file_is_stored_as_what_it_is() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let (moves, size) = (Some(250), Some((24, 16)));
    // Graph, media type, extension, size in pixels, how long it plays.
    let table = [
        (webp(), "image/webp", "webp", size, moves),
        (mp4(), "video/mp4", "mp4", size, moves),
        (webm(), "video/webm", "webm", size, moves),
        (helper("image/gif"), "image/gif", "gif", size, Some(240)),
        (helper("video/h264-mp4"), "video/mp4", "mp4", size, moves),
        (flac(), "audio/flac", "flac", None, Some(1000)),
        (opus(), "audio/ogg", "opus", None, Some(1000)),
        // Whole frames: 38 of 1152 samples.
        (mp3(), "audio/mpeg", "mp3", None, Some(992)),
        (glb(), "model/gltf-binary", "glb", None, None),
    ];
    for (graph, media_type, extension, size, duration_ms) in table {
        let class = graph["9"]["class_type"].clone();
        let job = rig.enqueue(workflow(graph), |_, _| ()).await;
        let outputs = result(&rig, &job).await.outputs;
        let [file] = &outputs[..] else { panic!("{class}: {outputs:?}") };
        assert_eq!((file.node.as_str(), file.media_type.as_str()), ("9", media_type), "{class}");
        assert_eq!(file.name, format!("out_00000.{extension}"));
        assert_eq!(file.key, rig.store.output().file_key(&job.0, 0, 0, extension));
        assert_eq!(
            (file.width.zip(file.height), file.duration_ms),
            (size, duration_ms),
            "{class} {extension}"
        );
        let content = rig.store.get(&file.key).await.expect("stored");
        assert_eq!(file.bytes, content.len() as u64);
        assert_eq!(file.sha256, Some(format!("{:x}", Sha256::digest(&content))), "{class}");
        let answer = reqwest::get(rig.store.output().url(&file.key)).await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], media_type, "{class}");
    }
}

#[tokio::test]
async fn the_nodes_that_a_job_names_are_kept_in_its_order() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let mut graph = webp();
    graph["10"] = json!({"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}});
    graph["8"] = json!({"class_type": "SaveAudio", "inputs": {"audio": ["3", 0], "filename_prefix": "song"}});
    let all = made_of(&rig, workflow(graph.clone())).await;
    let nodes = |files: &[StoredFile]| files.iter().map(|file| file.node.clone()).collect::<Vec<_>>();
    assert_eq!(nodes(&all), ["8", "9"], "what is saved, by the numbers of the nodes");
    let chosen = TaskSpec { outputs: vec!["10".into(), "8".into()], ..workflow(graph) };
    let files = made_of(&rig, chosen).await;
    assert_eq!(nodes(&files), ["10", "10", "8"]);
    let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["output_00000.png", "output_00000-1.png", "song_00000.flac"]);
}

#[tokio::test]
async fn a_sound_that_is_only_played_is_kept_where_nothing_is_saved() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let mut graph = flac();
    graph["9"] = json!({"class_type": "PreviewAudio", "inputs": {"audio": ["3", 0]}});
    let file = only(&rig, workflow(graph)).await;
    assert_eq!((file.media_type.as_str(), file.name.as_str()), ("audio/flac", "output_00000.flac"));
    assert_eq!(file.duration_ms, Some(1000));
    let content = rig.store.get(&file.key).await.expect("stored");
    assert_eq!(media::MediaType::sniff(&content, "").as_str(), "audio/flac");
    assert!(!holds(&content, SECRET), "texts go from it too");
}

#[tokio::test]
async fn a_text_that_is_all_that_is_shown_becomes_a_file() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let graph = json!({
        "1": {"class_type": "PrimitiveString", "inputs": {"value": "Maß für Maß"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    });
    let file = only(&rig, workflow(graph)).await;
    assert_eq!(
        (file.media_type.as_str(), file.name.as_str()),
        ("text/plain; charset=utf-8", "output_00000.txt")
    );
    assert_eq!(rig.store.get(&file.key).await.expect("stored"), "Maß für Maß".as_bytes());
}

#[tokio::test]
async fn a_format_is_that_of_still_pictures_and_of_nothing_else() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let formats = [
        (Format::Webp, "image/webp", "webp"),
        (Format::Jpeg, "image/jpeg", "jpg"),
        (Format::Png, "image/png", "png"),
        (Format::Avif, "image/avif", "avif"),
    ];
    for (format, media_type, extension) in formats {
        let small = Picture { width: 64, height: 64, ..picture(1) };
        let job = rig.enqueue(small, |_, spec| spec.form.format = Some(format)).await;
        let file = result(&rig, &job).await.outputs.remove(0);
        assert_eq!((file.media_type.as_str(), file.name), (media_type, format!("image_00000.{extension}")));
        assert_eq!(file.width.zip(file.height), Some((64, 64)));
        let content = rig.store.get(&file.key).await.expect("stored");
        assert_eq!(media::MediaType::sniff(&content, "").as_str(), media_type);
        assert_eq!(file.key, rig.store.output().file_key(&job.0, 0, 0, extension));
    }
    let larger = Picture { width: 256, height: 192, ..picture(1) };
    let job = rig.enqueue(larger, |_, spec| spec.form.format = Some(Format::Avif)).await;
    let file = result(&rig, &job).await.outputs.remove(0);
    assert_eq!((file.media_type.as_str(), file.width, file.height), ("image/avif", Some(256), Some(192)));
    let job = rig.enqueue(workflow(webp()), |_, spec| spec.form.format = Some(Format::Jpeg)).await;
    let file = result(&rig, &job).await.outputs.remove(0);
    assert_eq!((file.media_type.as_str(), file.duration_ms), ("image/webp", Some(250)), "it moves");
}

#[tokio::test]
async fn half_a_file_and_an_empty_one_are_not_stored() {
    let rig = Rig::start(steps_of(0)).await;
    // The word of a second worker ends a task at once; one alone would look again after ten seconds.
    let _workers = [rig.worker().await, rig.worker().await];
    let graphs = [webp(), mp4(), flac(), picture(1).graph()];
    let stored = || {
        let requests = rig.s3.requests();
        let files = requests.iter().filter(|request| {
            let beside = request.path.ends_with("/.probe") || request.path.contains("/engines/");
            request.path.starts_with("/images/generated/") && !beside
        });
        files.filter(|request| request.method == "PUT").count()
    };
    for graph in &graphs {
        let job = rig.enqueue(workflow(graph.clone()), |_, _| ()).await;
        assert!(rig.outcomes(&job, 1).await[0].result.is_ok());
    }
    assert_eq!(stored(), 4, "whole files are");
    for kind in [FaultKind::HalfFile, FaultKind::EmptyFile] {
        rig.sim.set_faults(vec![Fault::always(kind.clone())]);
        let mut jobs = Vec::new();
        for graph in &graphs {
            let job = rig.enqueue(workflow(graph.clone()), |job, _| job.retries = 0).await;
            jobs.push((format!("{kind:?} of {}", graph["9"]["class_type"]), job));
        }
        for (what, job) in jobs {
            let error = rig.outcomes(&job, 1).await.remove(0).result.expect_err(&what);
            assert_eq!(error.reason, Reason::OutputLost, "{what}: {error:?}");
            assert!(error.message.contains(" of node 9 can't be kept: "), "{what}: {error:?}");
        }
        assert_eq!(stored(), 4, "{kind:?}");
    }
}

#[tokio::test]
async fn prompt_and_graph_leave_the_files_unless_they_are_asked_for() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    for graph in [webp(), mp4(), webm(), flac(), mp3(), opus(), glb()] {
        let class = graph["9"]["class_type"].clone();
        for kept in [false, true] {
            let mut spec = workflow(graph.clone());
            spec.form.keep_texts = kept;
            let file = only(&rig, spec).await;
            let content = rig.store.get(&file.key).await.expect("stored");
            for text in [SECRET, "class_type"] {
                assert_eq!(holds(&content, text), kept, "{class}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn an_object_carries_the_jobs_labels_and_what_is_known_of_the_file() {
    let rig = Rig::start(steps_of(0)).await;
    let worker = rig.worker().await;
    let labels = [("campaign", "a=b & c"), ("shop.example/sku", "17")];
    let labels: BTreeMap<_, _> = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let job = rig.enqueue(workflow(mp4()), |_, spec| spec.labels = labels).await;
    let made = result(&rig, &job).await;
    let file = &made.outputs[0];
    let facts = rig.store.head(&file.key).await.expect("stored").facts.expect("facts");
    assert_eq!(facts.labels, "campaign=a%3Db%20%26%20c&shop.example/sku=17");
    assert_eq!((facts.node.as_str(), facts.name.as_str()), ("9", "out_00000.mp4"));
    assert_eq!((facts.width, facts.height, facts.duration_ms), (Some(24), Some(16), Some(250)));
    assert_eq!((facts.media_type.as_str(), Some(&facts.sha256)), ("video/mp4", file.sha256.as_ref()));
    assert_eq!((facts.seed, facts.gpu_ms, facts.attempt), (None, made.gpu_ms, 1));
    assert_eq!((facts.capacity.as_str(), &facts.worker), ("spot", &worker.id));
    assert_eq!(facts.extensions, ["mp4"]);
}

#[tokio::test]
async fn a_video_of_an_earlier_attempt_is_found_with_all_that_came_with_it() {
    let rig = Rig::start(steps_of(0)).await;
    let _worker = rig.worker().await;
    let mut graph = mp4();
    graph["10"] =
        json!({"class_type": "SaveAudio", "inputs": {"audio": ["3", 0], "filename_prefix": "song"}});
    let job = rig.enqueue(workflow(graph.clone()), |_, _| ()).await;
    let made = result(&rig, &job).await;
    assert_eq!((made.outputs.len(), made.found), (2, false));
    // As when Redis was lost with all that it knew of the job.
    rig.queue.cancel(&job).await.expect("cancelled");
    rig.queue.forget(&job).await.expect("forgotten");
    rig.enqueue(workflow(graph), |again, _| (again.uid, again.recheck) = (job.clone(), true)).await;
    let found = result(&rig, &job).await;
    assert_eq!(found, TaskResult { found: true, timings: None, ..made });
    assert_eq!(rig.sim.stats().prompts, 1, "nothing is made again");
}

#[tokio::test]
async fn where_the_time_went_is_told() {
    let ms = Duration::from_millis;
    let timing = Timing { load: ms(300), step: ms(20), decode: ms(200), ..Timing::default() };
    let rig = Rig::start(Options { timing, ..Options::default() }).await;
    let _worker = rig.worker().await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time");
    let arrival_ms = u64::try_from(now.as_millis()).expect("it fits") - 5_000;
    let job = rig.enqueue(picture(20), |job, _| job.arrival_ms = arrival_ms).await;
    let made = result(&rig, &job).await;
    let timings = made.timings.expect("timings");
    assert_eq!(timings.load_ms + timings.sample_ms + timings.decode_ms, made.gpu_ms, "{timings:?}");
    assert!(timings.load_ms >= 250 && timings.sample_ms >= 300 && timings.decode_ms >= 150, "{timings:?}");
    assert!((5_000..60_000).contains(&timings.queue_ms), "{timings:?}");
}
