//! Has the pictures of a request made, and answers with them.

use std::time::Duration;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue},
    response::Response,
};

use super::{FRONT, answer, error::Refusal, order::Order, stream};
use crate::{
    app::App,
    auth::Caller,
    error::Error,
    http::{Mount, held, tell_ignored},
    jobs::{IdempotencyKey, Submission, Submitted},
    limits::Left,
    outcome::{self, USUAL_WAIT},
};

/// How often the SDK has sent this request before. It sends no key with it.
const RETRY_COUNT: &str = "x-stainless-retry-count";
/// A request that comes again meets the job of the first if that is not older. SDKs repeat within minutes.
const REPEATS_WITHIN: Duration = Duration::from_secs(15 * 60);
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What of OpenAI's endpoints is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Generation,
    Edit,
}

impl Kind {
    /// The name of the events that bring pictures.
    pub(super) const fn completed(self) -> &'static str {
        match self {
            Self::Generation => "image_generation.completed",
            Self::Edit => "image_edit.completed",
        }
    }
}

pub(super) async fn make(
    app: App,
    caller: Caller,
    mount: &Mount,
    headers: &HeaderMap,
    order: Order,
    kind: Kind,
) -> Result<Response, Refusal> {
    let submission = Submission {
        spec: order.spec(&app, &caller, mount)?,
        labels: order.labels,
        pool: mount.pool.clone(),
        front: FRONT,
        key: key(headers)?,
        repeats_within: is_repeated(headers).then_some(REPEATS_WITHIN),
        ..Submission::default()
    };
    let Submitted { job, left, .. } = app.submit(&caller, submission).await?;
    let mut told = HeaderMap::new();
    tell_left(&mut told, left);
    tell_ignored(&mut told, order.ignored.iter().map(String::as_str));
    if order.stream {
        let mut response = stream::pictures(app, caller, job, kind);
        response.headers_mut().extend(told);
        return Ok(response);
    }
    let form = order.form;
    let answer = async move {
        let made = outcome::wait(&app, &caller, job, USUAL_WAIT).await?;
        answer::pictures(&app, &made, form).await
    };
    Ok(held(told, Box::pin(answer)).await)
}

fn key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Error> {
    let key = headers.get(IDEMPOTENCY_KEY);
    key.map(|value| IdempotencyKey::parse(value.to_str().unwrap_or_default())).transpose()
}

fn is_repeated(headers: &HeaderMap) -> bool {
    let count = headers.get(RETRY_COUNT).and_then(|count| count.to_str().ok()?.trim().parse::<u32>().ok());
    count.is_some_and(|count| count >= 1)
}

/// The limit of requests and what is left of it.
fn tell_left(headers: &mut HeaderMap, left: Option<Left>) {
    let Some(left) = left else { return };
    for (name, value) in [
        ("x-ratelimit-limit-requests", left.all().to_string()),
        ("x-ratelimit-remaining-requests", left.requests.to_string()),
        ("x-ratelimit-reset-requests", format!("{}s", left.resets_in_seconds())),
    ] {
        headers.extend(HeaderValue::try_from(value).ok().map(|value| (HeaderName::from_static(name), value)));
    }
}
