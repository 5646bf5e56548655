//! What goes wrong on purpose.
use std::time::{Duration, Instant};

use comfyui_sim::{Fault, FaultKind, Options, Sim, Timing};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::client::{Client, PATIENCE, Result, Socket, pixels, text_to_image};

fn sim(fault: Fault) -> Result<Sim> {
    let timing = Timing { step: Duration::from_millis(64 * 5), ..Timing::default() };
    Sim::start(Options { faults: vec![fault], timing, ..Options::default() })
}

fn last_message(history: &Value) -> &Value {
    history["status"]["messages"].as_array().unwrap().last().unwrap()
}

#[tokio::test]
async fn a_crash_ends_connections_without_a_word_and_loses_queue_and_history() -> Result {
    let mut sim = sim(Fault::once(FaultKind::Crash, 2))?;
    let client = Client::of(&sim);
    let mut socket = Socket::connect(&sim, "one").await?;
    let (_, answer) =
        client.post("/prompt", &json!({"prompt": text_to_image(1, 5, 64), "client_id": "one"})).await?;
    let error = socket.until_end().await.unwrap_err();
    assert!(!error.to_string().contains("closed by the server"), "{error}");
    assert!(client.get("/queue").await.is_err());
    assert!(!sim.is_running());
    assert_eq!(sim.stats().steps, 2);

    sim.restart()?;
    sim.set_faults(Vec::new());
    let id = answer["prompt_id"].as_str().unwrap();
    assert_eq!(client.get(&format!("/history/{id}")).await?, json!({}));
    let again = client.run(&text_to_image(1, 5, 64)).await?;
    assert_eq!(again["status"]["status_str"], "success");
    Ok(())
}

#[tokio::test]
async fn out_of_memory_fails_one_prompt_and_a_cuda_error_all_until_a_restart() -> Result {
    let mut sim = sim(Fault::once(FaultKind::OutOfMemory, 1))?;
    let client = Client::of(&sim);
    let failed = client.run(&text_to_image(1, 3, 64)).await?;
    let error = last_message(&failed);
    assert_eq!((&error[0], &error[1]["node_id"]), (&json!("execution_error"), &json!("3")));
    assert_eq!(error[1]["exception_type"], "torch.OutOfMemoryError");
    assert_eq!(client.run(&text_to_image(1, 3, 64)).await?["status"]["completed"], true);

    sim.set_faults(vec![Fault::once(FaultKind::CudaError, 1)]);
    for seed in [2, 3] {
        let failed = client.run(&text_to_image(seed, 3, 64)).await?;
        let message = last_message(&failed)[1]["exception_message"].as_str().unwrap_or_default().to_owned();
        assert!(message.starts_with("CUDA error: an illegal memory access"), "{message}");
    }
    assert_eq!(client.request("GET", "/system_stats").send().await?.status(), 500);
    sim.restart()?;
    sim.set_faults(Vec::new());
    assert_eq!(client.run(&text_to_image(3, 3, 64)).await?["status"]["completed"], true);
    Ok(())
}

#[tokio::test]
async fn silence_stops_the_frames_but_not_the_work() -> Result {
    let sim = sim(Fault::once(FaultKind::Silence, 2))?;
    let client = Client::of(&sim);
    let mut socket = Socket::connect(&sim, "one").await?;
    let (_, answer) =
        client.post("/prompt", &json!({"prompt": text_to_image(1, 5, 64), "client_id": "one"})).await?;
    let second = |frame: &Value| frame["type"] == "progress" && frame["data"]["value"] == 2;
    socket.until(second).await?;
    let history = client.history(answer["prompt_id"].as_str().unwrap()).await?;
    assert_eq!(history["status"]["status_str"], "success");
    sim.set_faults(Vec::new());
    client.post("/queue", &json!({"clear": true})).await?;
    assert_eq!(socket.next().await?["type"], "status", "nothing of the silent time is told later");
    Ok(())
}

#[tokio::test]
async fn a_hang_can_not_be_interrupted() -> Result {
    let mut sim = sim(Fault::once(FaultKind::Hang, 1))?;
    let client = Client::of(&sim);
    let id = client.queue(&text_to_image(1, 5, 64)).await?;
    wait_for("the first step", PATIENCE, async || (sim.stats().steps == 1).then_some(())).await?;
    client.post("/interrupt", &json!({"prompt_id": id})).await?;
    assert_eq!(client.get("/queue").await?["queue_running"][0][1], json!(id));
    sim.stop();
    assert!(client.get("/queue").await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_black_image_is_a_success() -> Result {
    let sim = sim(Fault::once(FaultKind::BlackImage, 0))?;
    let client = Client::of(&sim);
    let black = client.make(&text_to_image(1, 3, 64), "9", "images").await?;
    assert!(pixels(&black).2.iter().all(|value| *value == 0));
    let good = client.make(&text_to_image(2, 3, 64), "9", "images").await?;
    assert!(pixels(&good).2.iter().any(|value| *value != 0));
    Ok(())
}

#[tokio::test]
async fn cut_sockets_can_be_opened_again() -> Result {
    let sim = sim(Fault::once(FaultKind::DropSockets, 2))?;
    let client = Client::of(&sim);
    let mut socket = Socket::connect(&sim, "one").await?;
    client.post("/prompt", &json!({"prompt": text_to_image(1, 60, 64), "client_id": "one"})).await?;
    assert!(socket.until_end().await.is_err());
    let mut socket = Socket::connect(&sim, "two").await?;
    assert_eq!(socket.next().await?["type"], "status");
    client.post("/interrupt", &json!({})).await?;
    Ok(())
}

#[tokio::test]
async fn a_refused_prompt_may_have_been_queued() -> Result {
    let sim = sim(Fault::once(FaultKind::PromptError, 0))?;
    let client = Client::of(&sim);
    let request = json!({"prompt": text_to_image(1, 1, 64), "prompt_id": "mine"});
    assert_eq!(client.post("/prompt", &request).await?.0, 500);
    assert_eq!(client.history("mine").await?["status"]["status_str"], "success");
    Ok(())
}

#[tokio::test]
async fn loading_a_checkpoint_takes_time_only_when_it_is_not_loaded() -> Result {
    let load = Duration::from_millis(100);
    let timing = Timing { load, ..Timing::default() };
    let sim = Sim::start(Options { timing, ..Options::default() })?;
    sim.set_faults(vec![Fault::once(FaultKind::SlowLoad { millis: 200 }, 0)]);
    let client = Client::of(&sim);
    let start = Instant::now();
    client.run(&text_to_image(1, 1, 64)).await?;
    assert!(start.elapsed() >= Duration::from_millis(300));
    client.run(&text_to_image(2, 1, 64)).await?;
    assert_eq!(sim.stats().loads, 1);
    client.post("/free", &json!({"unload_models": true, "free_memory": true})).await?;
    client.run(&text_to_image(3, 1, 64)).await?;
    assert_eq!(sim.stats().loads, 2);
    Ok(())
}

#[tokio::test]
async fn faults_can_be_set_over_http() -> Result {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    let faults =
        json!([{"kind": "outOfMemory", "step": 1, "times": 1}, {"kind": {"slowLoad": {"millis": 5}}}]);
    let put = client.request("PUT", "/sim/faults").header("content-type", "application/json");
    put.body(faults.to_string()).send().await?.error_for_status()?;
    assert_eq!(client.get("/sim/faults").await?[0], faults[0]);
    assert_eq!(client.run(&text_to_image(1, 2, 64)).await?["status"]["status_str"], "error");
    assert_eq!(client.get("/sim/stats").await?["steps"], 1);
    Ok(())
}

#[tokio::test]
async fn an_exceptions_words_break_nothing() -> Result {
    let message = "CUDA error: out of memory";
    let raise = FaultKind::Raise { exception: "ValueError".to_owned(), message: message.to_owned() };
    let sim = sim(Fault::once(raise, 1))?;
    let client = Client::of(&sim);
    let failed = client.run(&text_to_image(1, 3, 64)).await?;
    let error = &last_message(&failed)[1];
    assert_eq!(error["exception_type"], "ValueError");
    assert_eq!(error["exception_message"], format!("{message}\n"));
    assert_eq!(client.run(&text_to_image(2, 3, 64)).await?["status"]["completed"], true);
    Ok(())
}

#[tokio::test]
async fn an_interrupt_may_be_ignored_to_the_end() -> Result {
    let sim = sim(Fault::once(FaultKind::IgnoreInterrupt, 1))?;
    let client = Client::of(&sim);
    let id = client.queue(&text_to_image(1, 20, 64)).await?;
    wait_for("the first step", PATIENCE, async || (sim.stats().steps >= 1).then_some(())).await?;
    client.post("/interrupt", &json!({"prompt_id": id})).await?;
    assert_eq!(client.history(&id).await?["status"]["completed"], true);
    assert_eq!(sim.stats().steps, 20);
    Ok(())
}

#[tokio::test]
async fn a_stall_holds_up_every_answer() -> Result {
    let sim = sim(Fault::once(FaultKind::Stall { millis: 400 }, 1))?;
    let client = Client::of(&sim);
    let start = Instant::now();
    client.queue(&text_to_image(1, 1, 64)).await?;
    wait_for("the first step", PATIENCE, async || {
        client.get("/sim/stats").await.ok().filter(|stats| stats["steps"] == 1)
    })
    .await?;
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_fault_may_strike_some_prompts_only() -> Result {
    let oom = Fault { text: Some("poison".to_owned()), ..Fault::always(FaultKind::OutOfMemory) };
    let sim = sim(oom)?;
    let client = Client::of(&sim);
    let mut poison = text_to_image(1, 2, 64);
    poison["6"]["inputs"]["text"] = json!("a bottle of poison");
    assert_eq!(client.run(&poison).await?["status"]["completed"], false);
    assert_eq!(client.run(&text_to_image(1, 2, 64)).await?["status"]["completed"], true);
    Ok(())
}

#[tokio::test]
async fn files_of_models_and_node_classes_may_be_missing_for_a_while() -> Result {
    let sim = sim(Fault::always(FaultKind::NoModels))?;
    let client = Client::of(&sim);
    let request = json!({"prompt": text_to_image(1, 1, 64)});
    let (status, answer) = client.post("/prompt", &request).await?;
    let error = &answer["node_errors"]["4"]["errors"][0];
    assert_eq!((status.as_u16(), &error["type"]), (400, &json!("value_not_in_list")));
    assert_eq!(error["details"], "ckpt_name: 'v1-5-pruned.safetensors' not in []");

    sim.set_faults(vec![Fault::always(FaultKind::MissingNode { class: "VAEDecode".to_owned() })]);
    let (status, answer) = client.post("/prompt", &request).await?;
    assert_eq!((status.as_u16(), &answer["error"]["type"]), (400, &json!("invalid_prompt")));
    assert_eq!(answer["error"]["message"], "Cannot execute because node VAEDecode does not exist.");

    sim.set_faults(Vec::new());
    assert_eq!(client.run(&request["prompt"]).await?["status"]["completed"], true);
    Ok(())
}

#[tokio::test]
async fn a_file_may_be_half_or_empty_though_its_prompt_succeeds() -> Result {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    let whole = client.make(&text_to_image(1, 1, 64), "9", "images").await?.len();
    sim.set_faults(vec!["half-filex1".parse().unwrap()]);
    let half = client.make(&text_to_image(2, 1, 64), "9", "images").await?;
    assert!(half.len() < whole * 2 / 3 && half.starts_with(b"\x89PNG"), "{} of {whole}", half.len());
    sim.set_faults(vec!["empty-filex1".parse().unwrap()]);
    assert_eq!(client.make(&text_to_image(3, 1, 64), "9", "images").await?.len(), 0);
    assert!(!client.make(&text_to_image(4, 1, 64), "9", "images").await?.is_empty());
    Ok(())
}
