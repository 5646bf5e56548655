//! Answers with pictures.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{error::Refusal, order::Form};
use crate::{
    app::App,
    cache::Job,
    pictures::{self, Picture},
};

/// The pictures of a job that is complete.
pub(super) async fn pictures(app: &App, job: &Job, form: Form) -> Result<Bytes, Refusal> {
    let mut data = vec![];
    for picture in pictures::of(job) {
        data.push(match form {
            Form::Base64 => json!({ "b64_json": picture.base64(app, job).await? }),
            Form::Url => json!({ "url": picture.url(app, job).await? }),
        });
    }
    let mut body = json!({ "created": created(job), "data": data });
    body["size"] = json!(pictures::size(job));
    body["output_format"] = json!(pictures::of(job).next().map(|picture| format(&picture)));
    Ok(body.to_string().into())
}

/// A picture as an event of a stream holds it.
pub(super) async fn event(app: &App, job: &Job, picture: &Picture<'_>, kind: &str) -> Result<Value, Refusal> {
    let file = picture.file;
    let size = file.width.zip(file.height).map(|(width, height)| format!("{width}x{height}"));
    Ok(json!({
        "type": kind,
        "b64_json": picture.base64(app, job).await?,
        "created_at": created(job),
        "size": size.as_deref().unwrap_or("auto"),
        "quality": "auto",
        "background": "opaque",
        "output_format": format(picture),
        "usage": {
            "input_tokens": 0,
            "input_tokens_details": { "image_tokens": 0, "text_tokens": 0 },
            "output_tokens": 0,
            "total_tokens": 0,
        },
    }))
}

/// When the pictures were made, in seconds since the Unix epoch.
fn created(job: &Job) -> i64 {
    job.status.completion_time.as_ref().map_or_else(|| job.created_second(), |time| time.0.as_second())
}

/// E.g. `png`.
fn format<'a>(picture: &Picture<'a>) -> &'a str {
    picture.file.media_type.strip_prefix("image/").unwrap_or(&picture.file.media_type)
}
