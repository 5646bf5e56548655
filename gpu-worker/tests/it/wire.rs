//! Our client against recordings of a real server.

use std::time::Duration;

use gpu_worker::comfyui::{Content, Generated, Phase, Progress, Prompt, PromptId, Trouble};
use serde_json::{Map, Value};

use crate::replay::{Replay, Script, recording};

fn prompt(id: PromptId, graph: Map<String, Value>) -> Prompt {
    Prompt { id, graph, segments: vec![], outputs: vec![], timeout: Duration::from_secs(20) }
}

async fn generate(replay: &Replay, graph: &Value) -> (Result<Generated, Trouble>, Vec<Progress>) {
    let graph = graph.as_object().cloned().unwrap_or_default();
    let prompt = prompt(PromptId::random(), graph);
    let mut heard = Vec::new();
    let result = replay.engine.generate(&prompt, |progress| heard.push(progress.clone())).await;
    (result, heard)
}

async fn replayed(name: &str) -> (Result<Generated, Trouble>, Vec<Progress>) {
    let recording = recording(name);
    let replay = Replay::start(Script::of(&recording)).await;
    generate(&replay, &Value::Object(Map::new())).await
}

#[tokio::test]
async fn a_picture_is_followed_to_its_end() {
    let replay = Replay::start(Script::of(&recording("txt2img_preview_noflags"))).await;
    let (result, heard) = generate(&replay, &Value::Null).await;
    let generated = result.expect("a picture");
    assert_eq!(generated.outputs.len(), 1);
    let output = &generated.outputs[0];
    let Content::File(file) = &output.content else { panic!("{output:?}") };
    assert_eq!((output.node.as_str(), file.filename.as_str()), ("9", "t2i_00001_.png"));
    let mut download = replay.engine.open(file).await.expect("a file");
    assert_eq!(download.next().await.expect("content").expect("content"), "a picture".as_bytes());
    assert_eq!(generated.engine_ms, 2_770, "by the engine's own clock");
    let last = heard.last().expect("progress");
    assert_eq!(last.phase, Phase::Ended);
    let steps = last.steps.expect("steps");
    assert_eq!((steps.done, steps.total), (4, 4));
}

#[tokio::test]
async fn a_graph_without_a_sampler_and_a_cached_one_end_too() {
    for name in ["modelfree", "txt2img_cached"] {
        let generated = replayed(name).await.0.expect(name);
        assert_eq!(generated.outputs.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_graph_that_saves_nothing_is_told_apart() {
    let (result, _) = replayed("save_image_websocket").await;
    assert!(matches!(result, Err(Trouble::NothingMade)), "{result:?}");
}

#[tokio::test]
async fn an_exception_in_a_node_is_reported_with_its_node() {
    let (result, _) = replayed("runtime_error").await;
    let Err(Trouble::Failed(failure)) = result else { panic!("{result:?}") };
    assert_eq!(
        failure.words(),
        "node 5 (LoadLatent): safetensors._safetensors_rust.SafetensorError: Error while deserializing header: \
         header too large"
    );
}

#[tokio::test]
async fn an_interruption_by_somebody_else_is_no_failure_of_the_graph() {
    let (result, _) = replayed("interrupt_midrun").await;
    assert!(matches!(result, Err(Trouble::Lost(_))), "{result:?}");
}

#[tokio::test]
async fn a_socket_lost_in_the_middle_loses_nothing() {
    let recording = recording("clean_drop_reconnect");
    let frames = |name: &str| recording[name].as_array().expect("frames").clone();
    let history = recording["history"]["json"].clone();
    let recorded_id = history.as_object().and_then(|all| all.keys().next().cloned()).expect("an id");
    let script = Script {
        answer: serde_json::json!({"status": 200, "json": {"prompt_id": recorded_id, "node_errors": {}}}),
        connections: vec![frames("ws1"), frames("ws2")],
        history,
        taken: true,
        recorded_id,
    };
    let replay = Replay::start(script).await;
    let (result, _) = generate(&replay, &Value::Null).await;
    assert_eq!(result.expect("a picture").outputs.len(), 1);
    assert_eq!(replay.requests().len(), 1, "and it is posted once: {:?}", replay.requests());
}

#[tokio::test]
async fn the_end_is_found_where_the_socket_is_silent() {
    let recording = recording("txt2img_preview_noflags");
    let mut script = Script::of(&recording);
    // As after an overlapping reconnect: the socket stands, and says nothing.
    let last = script.connections[0].len() - 1;
    script.connections[0][last]["text"]["data"]["prompt_id"] = "somebody else's".into();
    let replay = Replay::start(script).await;
    let (result, _) = generate(&replay, &Value::Null).await;
    assert_eq!(result.expect("a picture").outputs.len(), 1);
}

#[tokio::test]
async fn every_refusal_is_told_in_words_that_name_node_and_input() {
    let recording = recording("validation_errors");
    let table = [
        (
            "ckpt_invalid",
            "node 4 (CheckpointLoaderSimple): Value not in list: ckpt_name: 'nope.safetensors' not in",
        ),
        ("seed_-1", "node 3 (KSampler): Value -1 smaller than min of 0: seed"),
        ("width_16392", "node 5 (EmptyLatentImage): Value 16392 bigger than max of 16384: width"),
        ("missing_input", "node 3 (KSampler): Required input is missing: cfg"),
        (
            "type_mismatch",
            "node 3 (KSampler): Return type mismatch between linked nodes: model, received_type(CLIP)",
        ),
        ("link_missing_node", "node 3 (KSampler): Exception when validating inner node: '99'"),
        ("class_missing", "Cannot execute because node NoSuchNode does not exist: Node ID '#3'"),
        ("no_outputs", "Prompt has no outputs"),
        ("cycle", "Prompt outputs failed validation"),
    ];
    for (name, words) in table {
        let replay = Replay::start(Script::answering(&recording[name])).await;
        let (result, _) = generate(&replay, &Value::Null).await;
        let Err(Trouble::Refused(said)) = result else { panic!("{name}: {result:?}") };
        assert!(said.words.starts_with(words), "{name}: {said:?}");
        let of_the_graph = ["seed_-1", "width_16392", "missing_input", "type_mismatch", "no_outputs"];
        assert_eq!(said.is_doubtful, !of_the_graph.contains(&name), "{name}: {said:?}");
    }
}

#[tokio::test]
async fn an_answer_of_200_with_node_errors_is_a_refusal_and_the_rest_is_stopped() {
    let recording = recording("validation_errors");
    let replay = Replay::start(Script::answering(&recording["one_good_one_bad_output"])).await;
    let id = PromptId::random();
    let prompt = prompt(id.clone(), Map::new());
    let result = replay.engine.generate(&prompt, |_| ()).await;
    let Err(Trouble::Refused(said)) = result else { panic!("{result:?}") };
    assert_eq!(said.words, "node 10 (EmptyImage): Value 0 smaller than min of 1: width");
    replay.engine.clean_up(&id, Duration::from_secs(20)).await;
    let stopped = replay.requests().iter().any(|request| request.starts_with("POST /interrupt"));
    assert!(stopped, "{:?}", replay.requests());
}

#[tokio::test]
async fn after_an_error_500_it_looks_before_it_posts_again() {
    let error = serde_json::json!({"status": 500, "text": "500 Internal Server Error"});
    let replay = Replay::start(Script::answering(&error)).await;
    let (result, _) = generate(&replay, &Value::Null).await;
    let Err(Trouble::NotTaken(said)) = result else { panic!("{result:?}") };
    assert!(said.contains("POST prompt") && said.contains("500"), "{said}");
    assert_eq!(replay.requests().len(), 3, "{:?}", replay.requests());
}

#[tokio::test]
async fn after_an_error_500_it_does_not_post_again_what_was_taken() {
    let mut script = Script::of(&recording("txt2img_preview_noflags"));
    script.answer = serde_json::json!({"status": 500, "text": "500 Internal Server Error"});
    let replay = Replay::start(script).await;
    let (result, _) = generate(&replay, &Value::Null).await;
    assert_eq!(result.expect("a picture").outputs.len(), 1);
    assert_eq!(replay.requests().len(), 1, "{:?}", replay.requests());
}
