//! The recorded requests, sent to the simulator, get the recorded answers.
use std::{collections::HashMap, time::Duration};

use comfyui_sim::{Options, Previews, Sim, Timing};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::client::{Client, PATIENCE, Result, Socket};

/// Parts of an answer that differ from run to run, or that the simulator does not have.
const IGNORED: [&str; 4] = ["timestamp", "traceback", "description", "output_tooltips"];
/// Lists whose order is that of a Python set.
const UNORDERED: [&str; 2] = ["executed", "current_outputs"];

fn recording(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/recordings/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn recorded(prompts: &[Value], name: &str) -> Value {
    prompts.iter().find(|prompt| prompt["name"] == name).unwrap().clone()
}

fn sim(timing: Timing) -> Result<Sim> {
    Sim::start(Options {
        models: ["rand_sd15_full.safetensors", "rand_sd15_tiny.safetensors"].map(str::to_owned).to_vec(),
        previews: Previews::EveryStep,
        timing,
        ..Options::default()
    })
}

/// Without what differs from run to run.
fn plain(value: &Value) -> Value {
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

/// File names number pictures of earlier prompts too.
fn unnumbered(value: &Value) -> Value {
    let text = plain(value).to_string();
    let parts: Vec<&str> = text.split("_000").collect();
    let rest = |part: &&str| part.get(2..).unwrap_or_default().to_owned();
    let joined: Vec<String> =
        parts.iter().take(1).map(|part| (*part).to_owned()).chain(parts.iter().skip(1).map(rest)).collect();
    serde_json::from_str(&joined.join("_NUMBER")).unwrap()
}

#[tokio::test]
async fn every_mistake_in_a_prompt_gets_the_recorded_answer() -> Result {
    let sim = sim(Timing::default())?;
    let client = Client::of(&sim);
    // Generated ids in the recording, and here.
    let mut ids = HashMap::new();
    for recorded in recording("validation.json") {
        let name = recorded["name"].as_str().unwrap();
        let mut path = recorded["path"].as_str().unwrap().to_owned();
        let id_in_path = path.rsplit('/').next().unwrap_or_default().to_owned();
        if let Some(id) = ids.get(&id_in_path) {
            path = format!("/history/{id}");
        }
        if name.ends_with("_history") {
            wait_for("the queue to run dry", PATIENCE, async || {
                let status = client.get("/prompt").await.ok()?;
                (status["exec_info"]["queue_remaining"] == 0).then_some(())
            })
            .await?;
        }
        let request = client.request(recorded["method"].as_str().unwrap(), &path);
        let body = recorded["body"].as_str().unwrap_or_default().to_owned();
        let answer = request.body(body).send().await?;
        assert_eq!(answer.status().as_u16(), recorded["status"], "{name}");
        let text = answer.text().await?;
        let Some(expected) = recorded.get("json") else {
            assert_eq!(text, recorded["text"], "{name}");
            continue;
        };
        let mut answer: Value = serde_json::from_str(&text)?;
        let mut expected = expected.clone();
        if let (Some(theirs), Some(ours)) = (expected["prompt_id"].as_str(), answer["prompt_id"].as_str()) {
            ids.insert(theirs.to_owned(), ours.to_owned());
            answer["prompt_id"] = json!(theirs);
        }
        if name.ends_with("_history") {
            expected = history_gist(&expected);
            answer = history_gist(&answer);
        }
        assert_eq!(unnumbered(&answer), unnumbered(&expected), "{name}");
    }
    Ok(())
}

/// The one prompt in a history, without ids, and of an error its kind only: the message has paths in it.
fn history_gist(history: &Value) -> Value {
    let entry = history.as_object().unwrap().values().next().unwrap();
    let of_message = |message: &Value| json!([message[0], message[1]["nodes"], message[1]["exception_type"]]);
    let messages: Vec<Value> =
        entry["status"]["messages"].as_array().unwrap().iter().map(of_message).collect();
    json!({
        "prompt": entry["prompt"][2], "extra": entry["prompt"][3], "to do": entry["prompt"][4],
        "outputs": entry["outputs"], "status": entry["status"]["status_str"], "messages": messages,
        "completed": entry["status"]["completed"], "meta": entry["meta"],
    })
}

#[tokio::test]
async fn the_other_routes_give_the_recorded_answers() -> Result {
    let sim = sim(Timing::default())?;
    let client = Client::of(&sim);
    for recorded in recording("uploads.json") {
        let mut form = Form::new();
        for part in recorded["parts"].as_array().unwrap() {
            let text = |field: &str| part[field].as_str().map(str::to_owned);
            let value = Part::text(text("value").unwrap());
            let value = match text("filename") {
                Some(name) => value.file_name(name),
                None => value,
            };
            form = form.part(text("name").unwrap(), value);
        }
        let answer = client.request("POST", "/upload/image").multipart(form).send().await?;
        assert_eq!(answer.status().as_u16(), recorded["status"], "{}", recorded["name"]);
        if let Some(expected) = recorded.get("json") {
            assert_eq!(answer.json::<Value>().await?, *expected, "{}", recorded["name"]);
        }
    }
    client.run(&recorded(&recording("prompts.json"), "A_modelfree")["request"]["prompt"]).await?;
    for recorded in recording("http.json") {
        let name = &recorded["name"];
        let request =
            client.request(recorded["method"].as_str().unwrap(), recorded["path"].as_str().unwrap());
        let answer = request.body(recorded["body"].as_str().unwrap_or_default().to_owned()).send().await?;
        assert_eq!(answer.status().as_u16(), recorded["status"], "{name}");
        for header in ["content-disposition", "accept-ranges"] {
            let value = answer.headers().get(header).and_then(|value| value.to_str().ok());
            assert_eq!(value, recorded["headers"][header].as_str(), "{header} of {name}");
        }
        if let Some(expected) = recorded.get("json") {
            let answer: Value = answer.json().await?;
            assert_eq!(
                without_empty_options(&plain(&answer)),
                without_empty_options(&plain(expected)),
                "{name}"
            );
        } else if let (Some(expected), true) = (recorded["text"].as_str(), answer.status().is_success()) {
            assert_eq!(answer.text().await?, expected, "{name}");
        }
    }
    Ok(())
}

/// An input whose only option was a tooltip.
fn without_empty_options(value: &Value) -> Value {
    match value {
        Value::Array(values) if values.len() == 2 && values[1] == json!({}) => {
            json!([without_empty_options(&values[0])])
        }
        Value::Array(values) => values.iter().map(without_empty_options).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), without_empty_options(value))).collect()
        }
        value => value.clone(),
    }
}

#[tokio::test]
async fn downloads_come_in_parts_and_once() -> Result {
    let sim = sim(Timing::default())?;
    let client = Client::of(&sim);
    client.run(&recorded(&recording("prompts.json"), "A_modelfree")["request"]["prompt"]).await?;
    let view = || client.request("GET", "/api/view?filename=mf_00001_.png");
    let whole = view().send().await?;
    let etag = whole.headers()["etag"].clone();
    let length = whole.bytes().await?.len();
    let part = view().header("Range", "bytes=0-9").send().await?;
    assert_eq!(part.headers()["content-range"], format!("bytes 0-9/{length}"));
    assert_eq!((part.status().as_u16(), part.bytes().await?.len()), (206, 10));
    assert_eq!(view().header("If-None-Match", etag).send().await?.status(), 304);
    assert_eq!(view().header("Origin", "http://elsewhere.example").send().await?.status(), 403);
    assert_eq!(view().header("Origin", sim.url()).send().await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_body_over_100_mib_is_too_large() -> Result {
    let sim = sim(Timing::default())?;
    let answer = Client::of(&sim).request("POST", "/prompt").body(vec![b' '; 101 << 20]).send().await;
    // The server may close the connection before all of it is sent.
    if let Ok(answer) = answer {
        assert_eq!(answer.status(), 413);
        assert_eq!(answer.text().await?, "Maximum request body size 104857600 exceeded.");
    }
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
