//! The simulator as a process.
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{free_port, wait_for};
use tokio::process::{Child, Command};

use crate::client::{Client, PATIENCE, Result, pixels, text_to_image};

async fn program(flags: &[&str]) -> Result<(Child, Client)> {
    let port = free_port()?.to_string();
    let child = Command::new(env!("CARGO_BIN_EXE_comfyui-sim"))
        .args(["--listen", "127.0.0.1", "--port", &port, "--step-ms", "64", "--load-ms", "10"])
        .args(flags)
        .kill_on_drop(true)
        .spawn()?;
    let client = Client::new(&format!("http://127.0.0.1:{port}"));
    wait_for("the program to listen", PATIENCE, async || client.get("/system_stats").await.ok()).await?;
    Ok((child, client))
}

#[tokio::test]
async fn it_draws_the_same_picture_in_every_process() -> Result {
    let mut pictures = Vec::new();
    for _ in 0..2 {
        let (_child, client) = program(&["--speed", "10"]).await?;
        pictures.push(pixels(&client.make(&text_to_image(1, 4, 128), "9", "images").await?));
    }
    assert_eq!((pictures[0].0, pictures[0].1), (128, 128));
    assert_eq!(pictures[0], pictures[1]);
    Ok(())
}

#[tokio::test]
async fn a_crash_looks_like_sigkill() -> Result {
    let record = tempfile::NamedTempFile::new()?;
    let file = record.path().display().to_string();
    let (mut child, client) = program(&["--fault", "crash@2", "--record", &file]).await?;
    client.queue(&text_to_image(1, 5, 64)).await?;
    let status = tokio::time::timeout(PATIENCE, child.wait()).await??;
    assert_eq!(status.code(), Some(137));
    // What it did is known all the same.
    let steps: Vec<Value> = std::fs::read_to_string(record)?
        .lines()
        .map(serde_json::from_str)
        .collect::<serde_json::Result<_>>()?;
    assert_eq!(steps.iter().map(|line| &line["step"]).collect::<Vec<_>>(), [1, 2]);
    assert!(steps.iter().all(|line| line["seed"] == 1), "{steps:?}");
    Ok(())
}

#[tokio::test]
async fn models_and_boot_time_are_as_told() -> Result {
    let (_child, client) = program(&["--models", "a.safetensors,b.ckpt", "--boot-ms", "50"]).await?;
    assert_eq!(client.get("/models/checkpoints").await?, json!(["a.safetensors", "b.ckpt"]));
    let (status, answer) = client.post("/prompt", &json!({"prompt": text_to_image(1, 5, 64)})).await?;
    let error: &Value = &answer["node_errors"]["4"]["errors"][0]["type"];
    assert_eq!((status.as_u16(), error), (400, &json!("value_not_in_list")));
    Ok(())
}

#[tokio::test]
async fn sigterm_ends_it_and_its_files() -> Result {
    let temp = tempfile::tempdir()?;
    let port = free_port()?.to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_comfyui-sim"))
        .args(["--port", &port])
        .env("TMPDIR", temp.path())
        .kill_on_drop(true)
        .spawn()?;
    let files = || std::fs::read_dir(temp.path()).map_or(0, Iterator::count);
    wait_for("its folders", Duration::from_secs(10), async || (files() > 0).then_some(())).await?;
    let pid = child.id().unwrap_or_default().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().await?;
    assert!(tokio::time::timeout(PATIENCE, child.wait()).await??.success());
    assert_eq!(files(), 0);
    Ok(())
}
