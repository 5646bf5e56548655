//! Orders over HTTP, as applications place them.

use anyhow::{Context as _, Result, ensure};
use e2e::World;
use serde_json::{Value, json};

/// The HTTP API and a key for it.
pub(crate) struct Front {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Front {
    /// A tenant of the studio, which has the studio's name, and a key of it.
    pub(crate) async fn open(world: &World, studio: &str, model: &str) -> Result<Self> {
        world.tenant(studio, studio, &json!({ "defaultModel": model })).await?;
        let (url, key) = (world.api_url().await?, world.api_key(studio)?);
        Ok(Self { http: reqwest::Client::new(), url, key })
    }

    /// Asks for a picture at `/v1/jobs`; returns the job's id.
    pub(crate) async fn order(&self, model: &str, prompt: &str) -> Result<String> {
        let text = json!({ "model": model, "prompt": prompt, "steps": 20 });
        let order = json!({ "work": { "textToImage": text } });
        // A key that was made a moment ago may not be known yet.
        let asked =
            || self.http.post(format!("{}/v1/jobs", self.url)).bearer_auth(&self.key).json(&order).send();
        let mut answer = asked().await?;
        while answer.status() == reqwest::StatusCode::UNAUTHORIZED {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            answer = asked().await?;
        }
        let status = answer.status();
        let job: Value = answer.json().await?;
        ensure!(status == reqwest::StatusCode::CREATED, "{status}: {job:#}");
        Ok(job["id"].as_str().context("a job without an id")?.to_owned())
    }
}

/// A job's name as people read it: those of jobs that came by HTTP are long.
pub(crate) fn short(name: &str) -> &str {
    const UUID: usize = 36;
    if name.len() == UUID { name.split('-').next().unwrap_or(name) } else { name }
}
