//! Orders over HTTP, as applications place them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::World;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

/// The HTTP API and a key for it.
#[derive(Clone)]
pub(crate) struct Front {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Front {
    /// A tenant of the studio, which has the studio's name, and a key of it.
    pub(crate) async fn open(world: &World, studio: &str, model: &str) -> Result<Self> {
        world
            .tenant(
                studio,
                studio,
                &json!({ "defaultModel": model, "modelAliases": [{ "name": "dall-e-3", "model": model }] }),
            )
            .await?;
        let (url, key) = (world.api_url().await?, world.api_key(studio)?);
        Ok(Self { http: reqwest::Client::new(), url, key })
    }

    /// Asks for a picture at `/v1/jobs`; returns the job's id.
    pub(crate) async fn order(&self, model: &str, prompt: &str) -> Result<String> {
        let text = json!({ "model": model, "prompt": prompt, "steps": 20 });
        let order = json!({ "work": { "textToImage": text } });
        // A key that was made a moment ago may not be known yet.
        let mut answer = self.post("/v1/jobs", &order).await?;
        while answer.status() == StatusCode::UNAUTHORIZED {
            tokio::time::sleep(Duration::from_millis(100)).await;
            answer = self.post("/v1/jobs", &order).await?;
        }
        let status = answer.status();
        let job: Value = answer.json().await?;
        ensure!(status == StatusCode::CREATED, "{status}: {job:#}");
        Ok(job["id"].as_str().context("a job without an id")?.to_owned())
    }

    /// Asks for a picture as OpenAI's SDKs do, which wait for it; returns how many bytes it has.
    pub(crate) async fn generate(&self, prompt: &str) -> Result<usize> {
        let order = json!({ "model": "dall-e-3", "prompt": prompt, "size": "512x512", "steps": 20 });
        let answer = self.post("/v1/images/generations", &order).await?;
        let status = answer.status();
        let answer: Value = answer.json().await?;
        ensure!(status == StatusCode::OK, "{status}: {answer:#}");
        let picture = answer["data"][0]["b64_json"].as_str().context("an answer without a picture")?;
        // Base64 has four characters for three bytes.
        Ok(picture.trim_end_matches('=').len() * 3 / 4)
    }

    async fn post(&self, path: &str, body: &Value) -> reqwest::Result<Response> {
        self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.key).json(body).send().await
    }
}

/// A job's name as people read it: those of jobs that came by HTTP are long.
pub(crate) fn short(name: &str) -> &str {
    const UUID: usize = 36;
    if name.len() == UUID { name.split('-').next().unwrap_or(name) } else { name }
}
