//! The recorded requests, sent to the simulator, get the recorded answers.
use std::time::Duration;

use comfyui_sim::{Options, Previews, Release, Sim, Timing};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::client::{Client, PATIENCE, Result, Socket};

/// Parts of an answer that differ from run to run, or that the simulator does not have.
const IGNORED: [&str; 4] = ["timestamp", "traceback", "description", "output_tooltips"];
/// Lists whose order is that of a Python set.
const UNORDERED: [&str; 2] = ["executed", "current_outputs"];

pub(crate) fn recording(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/recordings/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

pub(crate) fn recorded(prompts: &[Value], name: &str) -> Value {
    prompts.iter().find(|prompt| prompt["name"] == name).unwrap().clone()
}

pub(crate) fn sim(timing: Timing) -> Result<Sim> {
    Sim::start(Options {
        release: Release::V0_3_64,
        models: ["rand_sd15_full.safetensors", "rand_sd15_tiny.safetensors"].map(str::to_owned).to_vec(),
        previews: Previews::EveryStep,
        timing,
        ..Options::default()
    })
}

/// Without what differs from run to run.
pub(crate) fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| !IGNORED.contains(&name.as_str()));
            let plain = |(name, value): (&String, &Value)| {
                let mut value = plain(value);
                if let (true, Value::Array(values)) = (UNORDERED.contains(&name.as_str()), &mut value) {
                    values.sort_by_key(Value::to_string);
                }
                let value = match (name.as_str(), value) {
                    // Prompts before this one; a generated id; a picture's format.
                    ("number", _) => json!("NUMBER"),
                    ("sid", Value::String(id)) if id.len() == 32 => json!("ID"),
                    ("prompt", Value::Array(mut item)) => {
                        item[0] = json!("NUMBER");
                        Value::Array(item)
                    }
                    ("format", _) | ("image_type", _) => json!("FORMAT"),
                    // What kind of object, not the object: its printed form is Python's.
                    ("current_inputs", inputs) => inputs.as_object().unwrap().keys().cloned().collect(),
                    (_, value) => value,
                };
                (name.clone(), value)
            };
            kept.map(plain).collect()
        }
        Value::Array(values) => values.iter().map(plain).collect(),
        value => value.clone(),
    }
}

fn assert_frames(name: &str, frames: &[Value], recorded: &Value) {
    let recorded: Vec<Value> = recorded["frames"].as_array().unwrap().iter().map(plain).collect();
    for (i, (frame, recorded)) in frames.iter().map(plain).zip(&recorded).enumerate() {
        assert_eq!(frame, *recorded, "frame {i} of {name}");
    }
    assert_eq!(frames.len(), recorded.len(), "{name}: {frames:#?}");
}

fn client_id(prompt: &Value) -> &str {
    prompt["request"]["client_id"].as_str().unwrap()
}

async fn replay(client: &Client, socket: &mut Socket, recorded: &Value, first: Vec<Value>) -> Result {
    let name = recorded["name"].as_str().unwrap();
    let (status, answer) = client.post("/prompt", &recorded["request"]).await?;
    assert_eq!(status, 200, "{name}: {answer}");
    let frames = [first, socket.until_end().await?].concat();
    assert_frames(name, &frames, recorded);
    let id = recorded["request"]["prompt_id"].as_str().unwrap();
    assert_eq!(plain(&client.history(id).await?), plain(&recorded["history"]), "{name}");
    Ok(())
}

#[tokio::test]
async fn frames_and_history_of_plain_and_cached_prompts() -> Result {
    let prompts = recording("prompts.json");
    let sim = sim(Timing::default())?;
    let client = Client::of(&sim);
    let session = [
        "A_modelfree",
        "B_modelfree_cached",
        "B2_modelfree_partly_cached",
        "N_save_image_websocket",
        "C_txt2img_preview_noflags",
        "C2_txt2img_cached",
        "C3_txt2img_partly_cached",
    ];
    let first = recorded(&prompts, session[0]);
    let mut socket = Socket::connect(&sim, client_id(&first)).await?;
    let mut greeting = vec![socket.next().await?];
    for name in session {
        replay(&client, &mut socket, &recorded(&prompts, name), std::mem::take(&mut greeting)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn previews_carry_metadata_for_a_client_that_asks() -> Result {
    let prompts = recording("prompts.json");
    let sim = sim(Timing::default())?;
    let client = Client::of(&sim);
    // The prompt before, which left its nodes in the cache.
    let before = recorded(&prompts, "C3_txt2img_partly_cached");
    for seed in [1, 2] {
        let mut prompt = before["request"]["prompt"].clone();
        prompt["3"]["inputs"]["seed"] = json!(seed);
        client.run(&prompt).await?;
    }
    let recorded = recorded(&prompts, "C4_txt2img_preview_flags");
    let mut socket = Socket::connect(&sim, client_id(&recorded)).await?;
    let mut greeting = vec![socket.next().await?];
    socket.send(&json!({"type": "feature_flags", "data": {"supports_preview_metadata": true}})).await?;
    greeting.push(socket.next().await?);
    replay(&client, &mut socket, &recorded, greeting).await
}

#[tokio::test]
async fn a_prompt_without_client_id_shows_its_progress_to_all_and_its_turns_to_none() -> Result {
    let recorded = recorded(&recording("prompts.json"), "F0_no_client_id");
    let sim = sim(Timing::default())?;
    let mut socket = Socket::connect(&sim, "").await?;
    let greeting = vec![socket.next().await?];
    Client::of(&sim).post("/prompt", &recorded["request"]).await?;
    let idle = |frame: &Value| frame["data"]["status"]["exec_info"]["queue_remaining"] == 0;
    let frames = [greeting, socket.until(idle).await?].concat();
    assert_frames("F0_no_client_id", &frames, &recorded);
    Ok(())
}

#[tokio::test]
async fn frames_and_history_of_failed_and_interrupted_prompts() -> Result {
    let prompts = recording("prompts.json");
    let timing = Timing {
        step: Duration::from_millis(64 * 30),
        load: Duration::from_millis(300),
        ..Timing::default()
    };
    let sim = sim(timing)?;
    let client = Client::of(&sim);
    let junk = Form::new().part("image", Part::bytes(b"not safetensors".as_slice()).file_name("junk.latent"));
    client.request("POST", "/upload/image").multipart(junk).send().await?.error_for_status()?;
    let failed = recorded(&prompts, "E_runtime_error");
    let mut socket = Socket::connect(&sim, client_id(&failed)).await?;
    socket.next().await?;
    replay(&client, &mut socket, &failed, Vec::new()).await?;

    let at_step_3 = |frame: &Value| frame["type"] == "progress" && frame["data"]["value"] == 3;
    let loading = |frame: &Value| frame["type"] == "executing" && frame["data"]["node"] == "4";
    let mid_run = recorded(&prompts, "I_interrupt_midrun");
    interrupt(&client, &mut socket, &mid_run, at_step_3).await?;
    let loader = recorded(&prompts, "I4_interrupt_during_loader");
    interrupt(&client, &mut socket, &loader, loading).await
}

/// Runs a recorded prompt and interrupts it once a frame says it is `there`.
async fn interrupt(
    client: &Client,
    socket: &mut Socket,
    recorded: &Value,
    there: impl Fn(&Value) -> bool,
) -> Result {
    client.post("/prompt", &recorded["request"]).await?;
    let mut frames = socket.until(there).await?;
    let id = recorded["request"]["prompt_id"].as_str().unwrap();
    client.post("/interrupt", &json!({"prompt_id": "another"})).await?;
    client.post("/interrupt", &json!({"prompt_id": id})).await?;
    frames.extend(socket.until_end().await?);
    // Steps may pass before the interrupt arrives: the recording has three.
    let step = |frame: &Value| match frame["type"].as_str() {
        Some("progress") => frame["data"]["value"].as_f64(),
        Some("progress_state") => frame["data"]["nodes"]["3"]["value"].as_f64(),
        _ => None,
    };
    frames.retain(|frame| step(frame).is_none_or(|step| step <= 3.0));
    let mut previews = 0;
    frames.retain(|frame| {
        previews += usize::from(frame.get("binary").is_some());
        frame.get("binary").is_none() || previews <= 3
    });
    let name = recorded["name"].as_str().unwrap();
    assert_frames(name, &frames, recorded);
    assert_eq!(plain(&client.history(id).await?), plain(&recorded["history"]), "{name}");
    Ok(())
}

#[tokio::test]
async fn what_a_client_sees_that_comes_in_mid_run_and_after_the_end() -> Result {
    let prompts = recording("prompts.json");
    let sim = sim(Timing { step: Duration::from_millis(64 * 20), ..Timing::default() })?;
    let client = Client::of(&sim);
    let prompt = &recorded(&prompts, "I_interrupt_midrun")["request"]["prompt"];
    let mut first = Socket::connect(&sim, "one").await?;
    let (_, answer) = client.post("/prompt", &json!({"prompt": prompt, "client_id": "one"})).await?;
    first.until(|frame| frame["type"] == "progress").await?;
    first.stream.close(None).await?;
    drop(first);

    let again = Socket::connect(&sim, "one").await;
    let mut again = again?;
    let frames = again.until(|frame| frame.get("binary").is_some()).await?;
    let kinds: Vec<&Value> = frames.iter().map(|frame| &frame["type"]).take(2).collect();
    assert_eq!(kinds, ["status", "executing"]);
    let recorded = recorded(&prompts, "G1_clean_drop_reconnect");
    assert_eq!(frames[1], recorded["frames"][1], "the running node, without its prompt");
    let live: Vec<&Value> = frames.iter().rev().take(2).map(|frame| &frame["type"]).collect();
    assert_eq!(live, [&Value::Null, &json!("progress")]);

    client.post("/interrupt", &json!({})).await?;
    client.history(answer["prompt_id"].as_str().unwrap()).await?;
    let mut late = Socket::connect(&sim, "one").await?;
    let status = late.next().await?;
    assert_eq!(status["data"]["status"]["exec_info"]["queue_remaining"], 0);
    client.post("/queue", &json!({"clear": true})).await?;
    assert_eq!(late.next().await?["type"], "status", "and nothing in between");
    Ok(())
}

#[tokio::test]
async fn twins_on_the_queue_give_500_and_run_twice() -> Result {
    let prompts = recording("prompts.json");
    let sim = sim(Timing { step: Duration::from_millis(64 * 100), ..Timing::default() })?;
    let client = Client::of(&sim);
    let blocking = client.queue(&recorded(&prompts, "I_interrupt_midrun")["request"]["prompt"]).await?;
    let prompt = &recorded(&prompts, "A_modelfree")["request"]["prompt"];
    let request = json!({"prompt": prompt, "prompt_id": "twin", "number": 7});
    assert_eq!(client.post("/prompt", &request).await?.0, 200);
    assert_eq!(client.post("/prompt", &request).await?.0, 500);
    let queue = client.get("/queue").await?;
    assert_eq!(queue["queue_running"][0][1], json!(blocking));
    assert_eq!(queue["queue_pending"].as_array().unwrap().len(), 2);
    client.post("/interrupt", &json!({"prompt_id": blocking})).await?;
    client.history("twin").await?;
    wait_for("both to run", PATIENCE, async || (sim.stats().succeeded == 2).then_some(())).await
}

#[tokio::test]
async fn waiting_prompts_can_be_taken_off() -> Result {
    let prompts = recording("prompts.json");
    let sim = sim(Timing { step: Duration::from_millis(64 * 100), ..Timing::default() })?;
    let client = Client::of(&sim);
    client.queue(&recorded(&prompts, "I_interrupt_midrun")["request"]["prompt"]).await?;
    let prompt = &recorded(&prompts, "A_modelfree")["request"]["prompt"];
    let ids = [client.queue(prompt).await?, client.queue(prompt).await?, client.queue(prompt).await?];
    assert_eq!(client.post("/queue", &json!({"delete": [ids[1], "unknown"]})).await?.0, 200);
    let queue = client.get("/queue").await?;
    assert_eq!(
        (&queue["queue_pending"][0][1], &queue["queue_pending"][1][1]),
        (&json!(ids[0]), &json!(ids[2]))
    );
    client.post("/queue", &json!({"clear": true})).await?;
    assert_eq!(client.get("/queue").await?["queue_pending"], json!([]));
    client.post("/interrupt", &json!({})).await?;
    Ok(())
}
