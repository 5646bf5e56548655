//! Answers with pictures.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::json;

use super::{error::Refusal, order::Order};
use crate::{app::App, cache::Job, pictures};

/// The pictures that a job has made.
pub(super) async fn pictures(app: &App, job: &Job, order: &Order) -> Result<Bytes, Refusal> {
    let mut images = vec![];
    if order.send_images {
        for picture in pictures::of(job) {
            images.push(picture.base64(app, job).await?);
        }
    }
    let body = json!({ "images": images, "parameters": order.parameters, "info": info(job, order) });
    Ok(body.to_string().into())
}

/// What is told of the pictures: JSON in a text, as clients expect it.
fn info(job: &Job, order: &Order) -> String {
    let asked = &order.picture;
    let seeds: Vec<u64> = pictures::of(job).map(|picture| seed(job, picture.index)).collect();
    let size = pictures::of(job).next().and_then(|picture| picture.file.width.zip(picture.file.height));
    let sides = size.or(asked.width.zip(asked.height));
    let texts: Vec<String> = seeds.iter().map(|seed| text(order, *seed, sides)).collect();
    let negative = asked.negative_prompt.as_deref().unwrap_or_default();
    json!({
        "prompt": asked.prompt,
        "all_prompts": vec![&asked.prompt; seeds.len()],
        "negative_prompt": negative,
        "all_negative_prompts": vec![negative; seeds.len()],
        "seed": job.status.seed.or(asked.seed),
        "all_seeds": seeds,
        "width": sides.map(|(width, _)| width),
        "height": sides.map(|(_, height)| height),
        "sampler_name": order.sampler,
        "cfg_scale": asked.cfg_scale,
        "steps": asked.steps,
        "batch_size": seeds.len(),
        "sd_model_name": asked.model,
        "infotexts": texts,
    })
    .to_string()
}

/// The seed of an image of the job.
fn seed(job: &Job, index: u32) -> u64 {
    let result = job.status.results.iter().find(|result| result.index == index);
    let counted = || job.status.seed.unwrap_or_default().wrapping_add(index.into());
    result.and_then(|result| result.seed).unwrap_or_else(counted)
}

/// The text that the web UI writes into a picture. What the request left to the model is not in it.
fn text(order: &Order, seed: u64, sides: Option<(u32, u32)>) -> String {
    let asked = &order.picture;
    let mut text = asked.prompt.clone();
    // Writing to a text does not fail.
    if let Some(negative) = asked.negative_prompt.as_deref().filter(|negative| !negative.is_empty()) {
        let _ = write!(text, "\nNegative prompt: {negative}");
    }
    let parts = [
        asked.steps.map(|steps| format!("Steps: {steps}")),
        order.sampler.as_ref().map(|sampler| format!("Sampler: {sampler}")),
        asked.cfg_scale.map(|scale| format!("CFG scale: {scale}")),
        Some(format!("Seed: {seed}")),
        sides.map(|(width, height)| format!("Size: {width}x{height}")),
        asked.model.as_ref().map(|model| format!("Model: {model}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let _ = write!(text, "\n{}", parts.join(", "));
    text
}
