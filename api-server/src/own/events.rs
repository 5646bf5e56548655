//! A job's events, as server-sent events: each frame is the whole job as it is, so that nobody has to put parts together.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt as _, stream};
use queue::TaskProgress;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep_until};

use super::{FRONT, problem::Problem, view};
use crate::{
    app::App,
    auth::to_hex,
    follow::{Follower, Snapshot, image_done},
    http::UNBUFFERED,
    metrics::OpenStream,
};

/// A frame without content, so that nobody takes the line for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Between two frames at least. What comes later than that after the last one goes out at once.
const PACE: Duration = Duration::from_millis(100);
const LAST_EVENT_ID: &str = "last-event-id";

/// What a frame holds: the job, and how far it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Frame<'a> {
    job: &'a RawValue,
    /// How much of the job is made, 0 to 1.
    progress: f64,
    /// The images that workers make now.
    running: Vec<Running<'a>>,
}

/// An image that a worker makes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Running<'a> {
    index: u32,
    attempt: u32,
    progress: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_class: Option<&'a str>,
}

impl<'a> From<&'a TaskProgress> for Running<'a> {
    fn from(image: &'a TaskProgress) -> Self {
        let node = image.nodes.as_ref().and_then(|nodes| nodes.running.as_ref());
        Self {
            index: image.index,
            attempt: image.attempt,
            progress: rounded(image_done(image)),
            step: image.steps.map(|(done, _)| done),
            steps: image.steps.map(|(_, all)| all),
            node: node.map(|node| node.id.as_str()),
            node_class: node.and_then(|node| node.class.as_deref()),
        }
    }
}

/// Streams a job's events until its end. Whoever comes again with the id of the last frame gets what is newer; of a job
/// that has ended there is nothing newer (204).
pub(crate) async fn events(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let found = async {
        let caller = app.caller(&headers)?;
        let job = app.jobs.get(&caller.tenant, &id).await?;
        Ok((caller, job))
    };
    let (caller, job) = found.await.map_err(|error| app.problem(error))?;
    let known = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let mut follower = Follower::new(&app, job);
    let now = follower.now();
    if now.job.state().is_final() && known.as_deref() == Some(frame(&app, &now).0.as_str()) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let ends = {
        let app = app.clone();
        async move { app.ended(&caller).await }
    };
    let frames = Frames {
        app: app.clone(),
        follower,
        known,
        next_at: None,
        ended: false,
        _open: app.metrics.open_stream(FRONT),
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response =
        Sse::new(frames.stream().take_until(Box::pin(ends))).keep_alive(keep_alive).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    Ok(response)
}

struct Frames {
    app: App,
    follower: Follower,
    /// The id of the last frame that the client has.
    known: Option<String>,
    /// The next frame goes out then at the earliest; `None` before the first.
    next_at: Option<Instant>,
    ended: bool,
    _open: OpenStream,
}

impl Frames {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, async |mut frames| frames.next().await.map(|event| (Ok(event), frames)))
    }

    async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        loop {
            if let Some(next_at) = self.next_at {
                if !self.follower.changed().await {
                    self.ended = true;
                    return Some(Event::default().event("deleted").data("{}"));
                }
                sleep_until(next_at).await;
            }
            let now = self.follower.now();
            let (id, data) = frame(&self.app, &now);
            self.next_at.get_or_insert_with(Instant::now);
            self.ended = now.job.state().is_final();
            if self.known.as_ref() != Some(&id) {
                self.known = Some(id.clone());
                self.next_at = Some(Instant::now() + PACE);
                return Some(Event::default().id(id).event("job").data(data));
            }
            if self.ended {
                return None;
            }
        }
    }
}

/// A frame's id, which says what is in it, and its text.
fn frame(app: &App, now: &Snapshot) -> (String, String) {
    const SHORT: usize = 16;
    let job = view::json(app, &now.job);
    let job = std::str::from_utf8(&job).ok().and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    let Some(job) = job else { return (String::new(), "{}".to_owned()) };
    let running = now.in_hand.iter().map(Running::from).collect();
    let frame = Frame { job, progress: rounded(now.done()), running };
    let data = serde_json::to_string(&frame).unwrap_or_default();
    let id = to_hex(&Sha256::digest(&data))[..SHORT].to_owned();
    (id, data)
}

/// Thousandths are as exact as anybody shows it.
fn rounded(part: f64) -> f64 {
    (part * 1000.0).round() / 1000.0
}
