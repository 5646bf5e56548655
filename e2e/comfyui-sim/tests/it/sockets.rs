//! The weaknesses of ComfyUI's WebSocket that a client has to live with.
use std::time::Duration;

use comfyui_sim::{Options, Previews, Sim, Timing};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::{Client, Result, Socket, text_to_image};

#[tokio::test]
async fn a_second_socket_of_the_same_client_goes_silent_when_the_first_ends() -> Result {
    let timing = Timing { step: Duration::from_millis(64 * 10), ..Timing::default() };
    let sim = Sim::start(Options { timing, ..Options::default() })?;
    let client = Client::of(&sim);
    let is_step = |frame: &Value| frame["type"] == "progress";
    let mut old = Socket::connect(&sim, "one").await?;
    let (_, answer) =
        client.post("/prompt", &json!({"prompt": text_to_image(1, 60, 64), "client_id": "one"})).await?;
    old.until(is_step).await?;
    let mut new = Socket::connect(&sim, "one").await?;
    new.until(is_step).await?;
    old.stream.close(None).await?;
    while old.next().await.is_ok() {}
    client.history(answer["prompt_id"].as_str().unwrap()).await?;
    let mut frames = Vec::new();
    while let Ok(Ok(frame)) = timeout(Duration::from_millis(200), new.next()).await {
        frames.push(frame);
    }
    assert!(!frames.iter().any(|frame| frame["type"] == "execution_success"), "{frames:?}");
    client.post("/queue", &json!({"clear": true})).await?;
    assert!(timeout(Duration::from_millis(200), new.next()).await.is_err(), "not even a status");
    Ok(())
}

#[tokio::test]
async fn a_client_that_stops_reading_holds_up_the_others() -> Result {
    let sim = Sim::start(Options { previews: Previews::EveryStep, ..Options::default() })?;
    let client = Client::of(&sim);
    let mut idle = Socket::connect(&sim, "idle").await?;
    idle.next().await?;
    let mut reading = Socket::connect(&sim, "reading").await?;
    reading.next().await?;
    // Without a client id its frames go to all; they are more than the idle one's buffers hold.
    let id = client.queue(&text_to_image(1, 200, 256)).await?;
    let done = |frame: &Value| frame["data"]["status"]["exec_info"]["queue_remaining"] == 0;
    let mut received = 0;
    loop {
        match timeout(Duration::from_millis(500), reading.next()).await {
            Ok(frame) => {
                received += 1;
                assert!(!done(&frame?), "got everything after {received} frames");
            }
            Err(_) if client.get(&format!("/history/{id}")).await? != json!({}) => break,
            Err(_) => {}
        }
    }
    drop(idle);
    reading.until(done).await?;
    Ok(())
}

#[tokio::test]
async fn a_stopped_server_ends_its_sockets_without_a_word() -> Result {
    let mut sim = Sim::start(Options::default())?;
    let mut socket = Socket::connect(&sim, "one").await?;
    socket.next().await?;
    sim.stop();
    let error = socket.next().await.unwrap_err();
    assert!(!error.to_string().contains("closed by the server"), "{error}");
    sim.restart()?;
    Socket::connect(&sim, "one").await?.next().await?;
    Ok(())
}
