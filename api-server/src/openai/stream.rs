//! Pictures as server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    http::{HeaderValue, header},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use serde_json::Value;

use super::{FRONT, answer, error::Refusal, make::Kind};
use crate::{
    app::App,
    auth::Caller,
    cache::Job,
    http::UNBUFFERED,
    metrics::OpenStream,
    outcome::{self, NotMade, USUAL_WAIT},
    pictures,
};

/// Between two comments, so that nobody takes the line for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Answers with an event for each picture of the job, once they are made.
pub(super) fn pictures(app: App, caller: Caller, job: Arc<Job>, kind: Kind) -> Response {
    let open = app.metrics.open_stream(FRONT);
    let events = Events { app, caller, kind, stage: Stage::Waiting(job), _open: open };
    let events = stream::unfold(events, async |mut events| {
        events.next().await.map(|event| (Ok::<_, Infallible>(event), events))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    response
}

struct Events {
    app: App,
    caller: Caller,
    kind: Kind,
    stage: Stage,
    _open: OpenStream,
}

enum Stage {
    /// The pictures are being made.
    Waiting(Arc<Job>),
    /// The pictures are there; so many were told.
    Telling(Arc<Job>, usize),
    Over,
}

impl Events {
    async fn next(&mut self) -> Option<Event> {
        match self.next_picture().await {
            Ok(None) => None,
            Ok(Some(picture)) => {
                Some(Event::default().event(self.kind.completed()).data(picture.to_string()))
            }
            Err(refusal) => {
                self.stage = Stage::Over;
                Some(Event::default().data(refusal.json().to_string()))
            }
        }
    }

    async fn next_picture(&mut self) -> Result<Option<Value>, Refusal> {
        if let Stage::Waiting(job) = &self.stage {
            let made = tokio::select! {
                made = outcome::wait(&self.app, &self.caller, Arc::clone(job), USUAL_WAIT) => made?,
                () = self.app.ended(&self.caller) => return Err(NotMade::Unfinished.into()),
            };
            self.stage = Stage::Telling(made, 0);
        }
        let Stage::Telling(job, told) = &mut self.stage else { return Ok(None) };
        let Some(picture) = pictures::of(job).nth(*told) else { return Ok(None) };
        *told += 1;
        answer::event(&self.app, job, &picture, self.kind.completed()).await.map(Some)
    }
}
