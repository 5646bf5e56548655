//! Routes that answer otherwise than they should.
use std::time::{Duration, Instant};

use comfyui_sim::{Answer, Fault, FaultKind, Options, Sim};
use reqwest::StatusCode;
use serde_json::json;

use crate::client::{Client, Result, text_to_image};

const FILE: &str = "/view?filename=seed1_00001_.png";

async fn with_a_picture() -> Result<(Sim, Client)> {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    client.run(&text_to_image(1, 1, 64)).await?;
    Ok((sim, client))
}

fn view(how: Answer) -> FaultKind {
    FaultKind::Answer { route: "view".to_owned(), how }
}

#[tokio::test]
async fn downloads_may_be_refused_a_few_times() -> Result {
    let (sim, client) = with_a_picture().await?;
    for status in [404, 403, 500] {
        sim.set_faults(vec![Fault::once(view(Answer::Status(status)), 0)]);
        assert_eq!(client.request("GET", FILE).send().await?.status(), status);
        assert_eq!(client.request("GET", FILE).send().await?.status(), StatusCode::OK);
    }
    sim.set_faults(vec![Fault::once(view(Answer::Status(404)), 0)]);
    assert_eq!(client.get("/history/none").await?, json!({}), "other routes answer");
    let with_prefix = format!("/api{FILE}");
    assert_eq!(client.request("GET", &with_prefix).send().await?.status(), StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn a_slow_download_comes_in_pieces_and_whole() -> Result {
    let (sim, client) = with_a_picture().await?;
    let whole = client.request("GET", FILE).send().await?.bytes().await?;
    sim.set_faults(vec![Fault::always(view(Answer::Slow { millis: 300 }))]);
    let start = Instant::now();
    let slow = client.request("GET", FILE).send().await?;
    assert!(start.elapsed() < Duration::from_millis(250), "the head comes at once");
    assert_eq!(slow.bytes().await?, whole);
    assert!(start.elapsed() >= Duration::from_millis(290));
    Ok(())
}

#[tokio::test]
async fn a_download_may_be_cut_in_the_middle() -> Result {
    let (sim, client) = with_a_picture().await?;
    let whole = client.request("GET", FILE).send().await?.bytes().await?.len();
    sim.set_faults(vec![Fault::once(view(Answer::Cut), 0)]);
    let mut cut = client.request("GET", FILE).send().await?;
    assert_eq!(cut.content_length(), Some(whole as u64));
    let mut read = 0;
    let end = loop {
        match cut.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            end => break end,
        }
    };
    assert!(end.is_err(), "a reader sees that it is not all");
    assert!(read < whole, "{read} of {whole}");
    Ok(())
}

#[tokio::test]
async fn any_route_may_fail() -> Result {
    let (sim, client) = with_a_picture().await?;
    sim.set_faults(vec!["history-500".parse().unwrap(), "prompt-503x1".parse().unwrap()]);
    assert_eq!(client.request("GET", "/history/any").send().await?.status(), 500);
    let request = json!({"prompt": text_to_image(2, 1, 64)});
    assert_eq!(client.post("/prompt", &request).await?.0, 503);
    assert_eq!(client.post("/prompt", &request).await?.0, 200);
    assert_eq!(sim.stats().prompts, 2, "a refused one is not queued");
    Ok(())
}
