//! NaN and the infinities pass where Python lets them pass, and come back as bare words, as Python writes them.
use comfyui_sim::{Options, Sim};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::client::{Client, PATIENCE, Result, pixels, text_to_image};

/// What a route answers, not read as JSON.
async fn text(client: &Client, path: &str) -> Result<String> {
    Ok(client.request("GET", path).send().await?.error_for_status()?.text().await?)
}

/// Runs a prompt; its history as text.
async fn run(client: &Client, prompt: &Value) -> Result<String> {
    let path = format!("/history/{}", client.queue(prompt).await?);
    wait_for("a prompt to end", PATIENCE, async || {
        text(client, &path).await.ok().filter(|history| history != "{}")
    })
    .await
}

#[tokio::test]
async fn a_raised_nodes_inputs_are_bare_words_in_the_history() -> Result {
    let sim = Sim::start(Options::default())?;
    let mut prompt = text_to_image(1, 2, 64);
    prompt["3"]["inputs"]["denoise"] = json!("nan");
    let history = run(&Client::of(&sim), &prompt).await?;
    assert!(history.contains(r#""denoise":NaN"#) && history.contains(r#""denoise":[NaN]"#), "{history}");
    assert!(history.contains("cannot convert float NaN to integer"), "{history}");
    assert!(serde_json::from_str::<Value>(&history).is_err());
    Ok(())
}

#[tokio::test]
async fn a_bare_word_is_read_and_makes_a_black_picture() -> Result {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    let prompt = text_to_image(1, 2, 64).to_string().replace(r#""cfg":7.0"#, r#""cfg":NaN"#);
    let request = client.request("POST", "/prompt").body(format!(r#"{{"prompt":{prompt}}}"#));
    let answer: Value = request.send().await?.error_for_status()?.json().await?;
    let path = format!("/history/{}", answer["prompt_id"].as_str().unwrap());
    let history = wait_for("the prompt to end", PATIENCE, async || {
        text(&client, &path).await.ok().filter(|history| history != "{}")
    })
    .await?;
    assert!(history.contains(r#""cfg":NaN"#), "{history}");
    let picture = client.request("GET", "/view?filename=seed1_00001_.png").send().await?.bytes().await?;
    assert!(pixels(&picture).2.iter().all(|value| *value == 0));
    assert!(String::from_utf8_lossy(&picture).contains(r#""cfg": NaN"#), "also in the picture's own text");
    Ok(())
}

#[tokio::test]
async fn an_infinity_is_refused_with_bare_words() -> Result {
    let sim = Sim::start(Options::default())?;
    let mut prompt = text_to_image(1, 2, 64);
    prompt["3"]["inputs"]["cfg"] = json!("inf");
    let body = json!({"prompt": prompt}).to_string();
    let answer = Client::of(&sim).request("POST", "/prompt").body(body).send().await?;
    assert_eq!(answer.status(), 400);
    let answer = answer.text().await?;
    assert!(answer.contains("Value inf bigger than max of 100.0"), "{answer}");
    assert!(answer.contains(r#""received_value":Infinity"#), "{answer}");
    Ok(())
}
