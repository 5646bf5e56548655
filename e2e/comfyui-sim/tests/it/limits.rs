//! Time, memory, disk and history: what a long life of an engine is about.
use std::time::{Duration, Instant};

use comfyui_sim::{Fault, FaultKind, Machine, Options, Sim, Timing};
use serde_json::{Value, json};

use crate::client::{Client, PATIENCE, Result, Socket, text_to_image};

const MIB: u64 = 1 << 20;

fn with(machine: Machine) -> Result<Sim> {
    Sim::start(Options { machine, ..Options::default() })
}

/// Pictures of one colour, saved.
fn plain(width: u32, height: u32, batch: u32, prefix: &str) -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {
            "width": width, "height": height, "batch_size": batch, "color": 255,
        }},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
    })
}

fn last_message(history: &Value) -> &Value {
    &history["status"]["messages"].as_array().unwrap().last().unwrap()[1]
}

#[tokio::test]
async fn decoding_takes_time_after_the_last_step() -> Result {
    let decode = Duration::from_millis(64 * 200);
    let sim = Sim::start(Options { timing: Timing { decode, ..Timing::default() }, ..Options::default() })?;
    let client = Client::of(&sim);
    let mut socket = Socket::connect(&sim, "one").await?;
    client.post("/prompt", &json!({"prompt": text_to_image(1, 3, 64), "client_id": "one"})).await?;
    socket.until(|frame| frame["type"] == "progress" && frame["data"]["value"] == 3).await?;
    let sampled = Instant::now();
    let frames = socket.until_end().await?;
    assert!(sampled.elapsed() >= Duration::from_millis(190));
    assert!(frames.iter().all(|frame| frame["type"] != "progress"), "{frames:#?}");
    Ok(())
}

#[tokio::test]
async fn enlarging_shows_progress_and_can_be_interrupted() -> Result {
    let timing = Timing { upscale: Duration::from_millis(50), ..Timing::default() };
    let models = vec!["upscale_models/4x.pth".to_owned()];
    let sim = Sim::start(Options { timing, models, ..Options::default() })?;
    let client = Client::of(&sim);
    let mut prompt = plain(1024, 1024, 16, "large");
    prompt["2"] = json!({"class_type": "UpscaleModelLoader", "inputs": {"model_name": "4x.pth"}});
    prompt["3"] = json!({"class_type": "ImageUpscaleWithModel", "inputs": {"upscale_model": ["2", 0], "image": ["1", 0]}});
    prompt["9"]["inputs"]["images"] = json!(["3", 0]);
    let mut socket = Socket::connect(&sim, "one").await?;
    let (_, answer) = client.post("/prompt", &json!({"prompt": prompt, "client_id": "one"})).await?;
    let frames = socket.until(|frame| frame["type"] == "progress").await?;
    let progress = &frames.last().unwrap()["data"];
    assert_eq!(
        (&progress["value"], &progress["max"], &progress["node"]),
        (&json!(1), &json!(64), &json!("3"))
    );
    client.post("/interrupt", &json!({"prompt_id": answer["prompt_id"]})).await?;
    let history = client.history(answer["prompt_id"].as_str().unwrap()).await?;
    assert_eq!(history["status"]["messages"].as_array().unwrap().last().unwrap()[0], "execution_interrupted");
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_told_in_pythons_words_until_there_is_room() -> Result {
    let mut sim = with(Machine { disk: MIB, ..Machine::default() })?;
    let client = Client::of(&sim);
    // A picture of noise, about as large as its pixels.
    let of = |seed: u64| text_to_image(seed, 2, 512);
    assert_eq!(client.run(&of(1)).await?["status"]["completed"], true);
    let mut full = 0;
    for seed in 2..8 {
        let history = client.run(&of(seed)).await?;
        if history["status"]["completed"] == false {
            let error = last_message(&history);
            assert_eq!((&error["node_id"], &error["exception_type"]), (&json!("9"), &json!("OSError")));
            assert_eq!(error["exception_message"], "[Errno 28] No space left on device\n");
            full += 1;
        }
    }
    assert!(full > 0 && full < 6, "{full} of 6 found no room");
    assert!(sim.stats().bytes <= MIB && sim.stats().files > 0, "{:?}", sim.stats());
    sim.stop();
    Ok(())
}

#[tokio::test]
async fn a_fault_fills_the_disk_for_uploads_too() -> Result {
    let sim = Sim::start(Options { faults: vec![Fault::always(FaultKind::DiskFull)], ..Options::default() })?;
    let client = Client::of(&sim);
    let error = last_message(&client.run(&plain(8, 8, 1, "a")).await?).clone();
    assert_eq!(error["exception_message"], "[Errno 28] No space left on device\n");
    let part = reqwest::multipart::Part::bytes(b"abc".as_slice()).file_name("a.latent");
    let form = reqwest::multipart::Form::new().part("image", part);
    assert_eq!(client.request("POST", "/upload/image").multipart(form).send().await?.status(), 500);
    sim.set_faults(Vec::new());
    assert_eq!(client.run(&plain(8, 8, 2, "a")).await?["status"]["completed"], true);
    Ok(())
}

#[tokio::test]
async fn more_memory_than_there_is_ends_the_process() -> Result {
    let sim = with(Machine { ram: 1024 * MIB, ..Machine::default() })?;
    let client = Client::of(&sim);
    let free = |stats: &Value| stats["system"]["ram_free"].as_u64().unwrap();
    let before = free(&client.get("/system_stats").await?);
    sim.set_faults(vec![Fault::once(FaultKind::Leak { megabytes: 16 }, 0)]);
    client.run(&plain(8, 8, 1, "a")).await?;
    assert_eq!(free(&client.get("/system_stats").await?), before - 16 * MIB);
    client.queue(&plain(16384, 16384, 1, "b")).await?;
    tokio::time::timeout(PATIENCE, sim.ended()).await?;
    assert!(!sim.is_running());
    Ok(())
}

#[tokio::test]
async fn a_picture_too_large_for_the_gpu_is_out_of_memory_each_time() -> Result {
    let sim = with(Machine { vram: 3 * 1024 * MIB, ..Machine::default() })?;
    let client = Client::of(&sim);
    for seed in [1, 2] {
        let history = client.run(&text_to_image(seed, 1, 2048)).await?;
        assert_eq!(last_message(&history)["exception_type"], "torch.OutOfMemoryError");
    }
    assert_eq!(client.run(&text_to_image(3, 1, 256)).await?["status"]["completed"], true);
    Ok(())
}

#[tokio::test]
async fn files_and_history_stay_until_they_are_removed() -> Result {
    let dir = tempfile::tempdir()?;
    let sim = Sim::start(Options { base_directory: Some(dir.path().to_owned()), ..Options::default() })?;
    let client = Client::of(&sim);
    let mut ids = Vec::new();
    for size in [8, 16, 24] {
        ids.push(client.queue(&plain(size, 8, 1, "a")).await?);
        client.history(&ids[ids.len() - 1]).await?;
    }
    assert_eq!((sim.stats().files, sim.stats().history), (3, 3));
    for number in 1..=3 {
        std::fs::remove_file(dir.path().join(format!("output/a_{number:05}_.png")))?;
    }
    assert_eq!(client.post("/history", &json!({"delete": [ids[0], "unknown"]})).await?.0, 200);
    assert_eq!((sim.stats().files, sim.stats().history), (0, 2));
    assert_eq!(client.get(&format!("/history/{}", ids[0])).await?, json!({}));
    // A number whose file is gone is given again.
    let again = client.run(&plain(32, 8, 1, "a")).await?;
    assert_eq!(again["outputs"]["9"]["images"][0]["filename"], "a_00001_.png");
    assert_eq!(client.post("/history", &json!({"clear": 1})).await?.0, 200);
    assert_eq!(sim.stats().history, 0);
    assert_eq!(client.post("/history", &json!({"delete": 7})).await?.0, 500);
    Ok(())
}

#[tokio::test]
async fn the_temp_folder_is_emptied_at_the_start() -> Result {
    let dir = tempfile::tempdir()?;
    let mut sim = Sim::start(Options { base_directory: Some(dir.path().to_owned()), ..Options::default() })?;
    let mut prompt = plain(8, 8, 1, "a");
    prompt["9"] = json!({"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}});
    Client::of(&sim).run(&prompt).await?;
    assert_eq!(sim.stats().files, 1);
    sim.restart()?;
    assert_eq!(sim.stats().files, 0);
    Ok(())
}
