//! A picture sampled in pieces, with its latent carried from one prompt, or one server, to the next.
use comfyui_sim::{Options, Sim};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::client::{Client, Result, pixels, text_to_image};

const STEPS: u32 = 12;

/// The nodes that every piece needs.
fn base() -> Value {
    let mut prompt = text_to_image(42, STEPS, 64);
    for node in ["3", "8", "9"] {
        prompt.as_object_mut().unwrap().remove(node);
    }
    prompt
}

/// Sampling from step `start` to `end` of the latent that `from` makes.
fn piece(sampler: &str, from: &str, start: u32, end: u32) -> Value {
    let enable = |on: bool| if on { "enable" } else { "disable" };
    json!({"class_type": "KSamplerAdvanced", "inputs": {
        "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": [from, 0],
        "noise_seed": 42, "steps": STEPS, "cfg": 7.0, "sampler_name": sampler, "scheduler": "karras",
        "start_at_step": start, "end_at_step": end,
        "add_noise": enable(start == 0), "return_with_leftover_noise": enable(end < STEPS),
    }})
}

fn picture_of(prompt: &mut Value, node: &str) {
    prompt["8"] = json!({"class_type": "VAEDecode", "inputs": {"samples": [node, 0], "vae": ["4", 2]}});
    prompt["9"] = json!({"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "s"}});
}

/// All pieces in one prompt.
fn chained(sampler: &str, cuts: &[u32]) -> Value {
    let mut prompt = base();
    let mut from = "5".to_owned();
    for bounds in cuts.windows(2) {
        let node = format!("piece{}", bounds[0]);
        prompt[&node] = piece(sampler, &from, bounds[0], bounds[1]);
        from = node;
    }
    picture_of(&mut prompt, &from);
    prompt
}

/// Each piece on a server of its own.
async fn carried(sampler: &str, cuts: &[u32]) -> Result<Vec<u8>> {
    let mut latent: Option<Vec<u8>> = None;
    for bounds in cuts.windows(2) {
        let sim = Sim::start(Options::default())?;
        let client = Client::of(&sim);
        let mut prompt = base();
        if let Some(latent) = latent.take() {
            let part = Part::bytes(latent).file_name("carried.latent");
            let upload = client.request("POST", "/upload/image").multipart(Form::new().part("image", part));
            upload.send().await?.error_for_status()?;
            prompt["5"] = json!({"class_type": "LoadLatent", "inputs": {"latent": "carried.latent"}});
        }
        prompt["3"] = piece(sampler, "5", bounds[0], bounds[1]);
        if bounds[1] >= STEPS {
            picture_of(&mut prompt, "3");
            return client.make(&prompt, "9", "images").await;
        }
        prompt["10"] = json!({"class_type": "SaveLatent", "inputs": {"samples": ["3", 0], "filename_prefix": "lat/seg"}});
        latent = Some(client.make(&prompt, "10", "latents").await?);
    }
    anyhow::bail!("the last cut is not the end")
}

#[tokio::test]
async fn a_carried_latent_gives_the_picture_of_the_same_cuts_in_one_prompt() -> Result {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    for sampler in ["euler", "dpmpp_2m", "euler_ancestral", "uni_pc", "lcm"] {
        let cuts = [0, 3, 8, 10_000];
        let chained = client.make(&chained(sampler, &cuts), "9", "images").await?;
        assert_eq!(pixels(&carried(sampler, &cuts).await?), pixels(&chained), "{sampler}");
    }
    Ok(())
}

#[tokio::test]
async fn only_samplers_without_memory_give_the_uncut_picture() -> Result {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    let same =
        [("euler", true), ("ddim", true), ("heun", true), ("dpmpp_2m", false), ("euler_ancestral", false)];
    for (sampler, same) in same {
        let uncut = client.make(&chained(sampler, &[0, 10_000]), "9", "images").await?;
        let cut = client.make(&chained(sampler, &[0, 5, 10_000]), "9", "images").await?;
        assert_eq!(pixels(&uncut) == pixels(&cut), same, "{sampler}");
    }
    Ok(())
}

#[tokio::test]
async fn nodes_of_a_piece_run_in_the_recorded_order() -> Result {
    let path = format!("{}/tests/recordings/segments.json", env!("CARGO_MANIFEST_DIR"));
    let recorded: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let models = vec!["rand_sd15_tiny.safetensors".to_owned()];
    let sim = Sim::start(Options { models, ..Options::default() })?;
    let client = Client::of(&sim);
    let latent = client.make(&recorded[0]["prompt"], "10", "latents").await?;
    let name = recorded[1]["prompt"]["5"]["inputs"]["latent"].as_str().unwrap_or_default();
    let form = Form::new().part("image", Part::bytes(latent).file_name(name.to_owned()));
    client.request("POST", "/upload/image").multipart(form).send().await?.error_for_status()?;

    let mut socket = crate::client::Socket::connect(&sim, "one").await?;
    socket.next().await?;
    client.post("/prompt", &json!({"prompt": recorded[1]["prompt"], "client_id": "one"})).await?;
    let frames: Vec<Value> = socket.until_end().await?.iter().map(gist).map(Value::from).collect();
    assert_eq!(json!(frames), recorded[1]["ws_types"]);
    Ok(())
}

/// A frame as the recording notes it.
fn gist(frame: &Value) -> String {
    let data = &frame["data"];
    let text = |value: &Value| value.as_str().map_or("None".to_owned(), str::to_owned);
    let kind = text(&frame["type"]);
    let whole = |value: &Value| value.as_f64().unwrap_or_default().to_string();
    match kind.as_str() {
        "status" => format!("status({})", data["status"]["exec_info"]["queue_remaining"]),
        "execution_cached" => {
            format!("execution_cached({})", data["nodes"].to_string().replace('"', "'").replace(',', ", "))
        }
        "executing" | "executed" => format!("{kind}({})", text(&data["node"])),
        "progress" => format!("progress({}/{}@{})", data["value"], data["max"], text(&data["node"])),
        "progress_state" => {
            let node = |(id, state): (&String, &Value)| {
                let letter = &text(&state["state"])[..1];
                format!("{id}:{letter}{}/{}", whole(&state["value"]), whole(&state["max"]))
            };
            let nodes: Vec<String> = data["nodes"].as_object().unwrap().iter().map(node).collect();
            format!("progress_state({})", nodes.join(","))
        }
        _ => kind,
    }
}
