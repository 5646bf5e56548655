//! `/jobs/{id}/events`: what happens to a job, as server-sent events, until its end. After the status of its end nothing is
//! read any more, so that comes last.

use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    time::Duration,
};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt as _, stream};
use prometheus::IntGauge;
use serde::Serialize;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{
    FRONT,
    output::{self, Output, Place},
    progress::Progress,
    refusal::Refusal,
    view::{Base, Status},
};
use crate::{
    app::App,
    cache::State as JobState,
    follow::{Follower, Snapshot},
    http::Mount,
};

/// A comment, so that nobody takes the line for dead: clients give up after 45 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Between two events of progress.
const PACE: Duration = Duration::from_millis(500);
/// Proxies such as nginx hold answers back otherwise.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Streams a job's events. Who comes again is told the job's present state, and goes on from there.
pub(super) async fn events(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers)?;
    let job = app.jobs.get(&caller.tenant, &id).await.map_err(Refusal::of_stream)?;
    let Ok(permit) = app.streams.clone().try_acquire_owned() else {
        return Err(Refusal::not_implemented("too many streams are open; poll the job"));
    };
    let ends = {
        let app = app.clone();
        async move { app.ended(&caller).await }
    };
    let events = Events {
        base: Base::new(&app, &mount),
        follower: Follower::new(&app, job),
        waiting: VecDeque::new(),
        sent: Sent::default(),
        begun: false,
        ended: false,
        _open: Open::new(&app, permit),
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response =
        Sse::new(events.stream().take_until(Box::pin(ends))).keep_alive(keep_alive).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    Ok(response)
}

struct Events {
    base: Base,
    follower: Follower,
    /// What is to be sent next.
    waiting: VecDeque<Event>,
    sent: Sent,
    begun: bool,
    ended: bool,
    _open: Open,
}

/// What the client knows.
#[derive(Default)]
struct Sent {
    status: Option<Status>,
    outputs: HashSet<Place>,
    progress: Option<Progress>,
    /// When progress may be sent again.
    next_progress: Option<Instant>,
    /// There is progress that had to wait for its time.
    held_back: bool,
}

#[derive(Serialize)]
struct StatusEvent {
    status: Status,
}

impl Events {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, async |mut events| events.next().await.map(|event| (Ok(event), events)))
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            // A job that is deleted has no last status; its next poll says that it is gone.
            if self.ended || self.begun && !self.changed().await {
                return None;
            }
            self.begun = true;
            let now = self.follower.now();
            self.tell(&now);
        }
    }

    /// Waits until there may be something new, or until progress that was held back may be sent; `false`: the job is deleted.
    async fn changed(&mut self) -> bool {
        match self.sent.next_progress.filter(|_| self.sent.held_back) {
            Some(at) => timeout_at(at, self.follower.changed()).await.unwrap_or(true),
            None => self.follower.changed().await,
        }
    }

    /// Notes what the client does not know yet.
    fn tell(&mut self, now: &Snapshot) {
        let state = now.job.state();
        self.ended = state.is_final();
        if !self.ended {
            self.status(state.into());
            if let Some(progress) = Progress::of(now) {
                self.progress(progress);
            }
        } else if state == JobState::Completed && self.sent.progress.is_some() {
            self.sent.next_progress = None;
            self.progress(Progress::whole());
        }
        let Self { base, sent, waiting, .. } = self;
        for (place, file) in output::files(&now.job) {
            if sent.outputs.insert(place) {
                waiting.push_back(event("output", &Output::of(base, &now.job, place, file)));
            }
        }
        if self.ended {
            self.status(state.into());
        }
    }

    fn status(&mut self, status: Status) {
        if self.sent.status != Some(status) {
            self.sent.status = Some(status);
            self.waiting.push_back(event("status", &StatusEvent { status }));
        }
    }

    /// An image that is begun again does not take back what was shown.
    fn progress(&mut self, mut progress: Progress) {
        let Sent { progress: last, next_progress, held_back, .. } = &mut self.sent;
        progress.value = progress.value.max(last.as_ref().map_or(0.0, |last| last.value));
        let (is_new, now) = (last.as_ref() != Some(&progress), Instant::now());
        *held_back = is_new && next_progress.is_some_and(|at| now < at);
        if is_new && !*held_back {
            self.waiting.push_back(event("progress", &progress));
            (*last, *next_progress) = (Some(progress), Some(now + PACE));
        }
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}

/// A stream that is open: counted, and one of as many as there may be.
struct Open {
    gauge: IntGauge,
    _permit: OwnedSemaphorePermit,
}

impl Open {
    fn new(app: &App, permit: OwnedSemaphorePermit) -> Self {
        let gauge = app.metrics.streams.with_label_values(&[FRONT]);
        gauge.inc();
        Self { gauge, _permit: permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
