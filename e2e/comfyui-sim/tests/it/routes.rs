//! Every route's answers, also to mistakes, are the recorded ones.
use std::collections::HashMap;

use comfyui_sim::Timing;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::{
    client::{Client, PATIENCE, Result},
    recordings::{plain, recorded, recording, sim},
};

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
