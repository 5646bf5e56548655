//! `/ui/failed`: the images that could not be made, and asking for them again.

use std::sync::Arc;

use axum::{
    extract::{Path, Query, State},
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    FRONT, gallery,
    layout::{self, Place},
    refusal::Refusal,
    session::{self, Viewer},
};
use crate::{
    app::App,
    auth::Caller,
    cache::{Job, State as JobState},
    own,
};

/// Failed jobs that are shown, the newest ones.
const JOBS: usize = 50;
/// Images of one job that are shown.
const IMAGES: usize = 10;

/// What was done just now.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Done {
    /// The first job that asks for failed images again.
    again: Option<String>,
}

/// The page.
pub(crate) async fn failed(
    State(app): State<App>,
    headers: HeaderMap,
    Query(done): Query<Done>,
) -> Result<Response, Refusal> {
    let caller = session::caller(&app, &headers).await?;
    let viewer = Viewer::Tenant(caller.clone());
    let content = html! {
        h1 { "Failed images" }
        @if let Some(again) = &done.again {
            p.notice.good role="status" { "The images are asked for again: " a href={ "/ui/jobs/" (again) } { "watch the new job" } "." }
        }
        p.help { "Images that could not be made after all their attempts. They are kept as long as their jobs." }
        (region(&app, &caller))
    };
    Ok(layout::page("Failed images", Some(&viewer), Some(Place::Failed), &content).into_response())
}

/// The list alone, for the script.
pub(crate) async fn live(State(app): State<App>, headers: HeaderMap) -> Result<Markup, Refusal> {
    let caller = session::caller(&app, &headers).await?;
    Ok(region(&app, &caller))
}

fn region(app: &App, caller: &Caller) -> Markup {
    let page = app.cache.jobs.page(&caller.tenant, None, JOBS, |job| job.state() == JobState::Failed);
    let may_write = Viewer::Tenant(caller.clone()).may_write();
    layout::live(
        "failed",
        "/ui/live/failed",
        &html! {
            p.summary role="status" {
                @match page.jobs.len() { 0 => "No job has failed.", 1 => "1 job has failed.", n => { (n) " jobs have failed." } }
            }
            ul.failed { @for job in &page.jobs {
                li.card data-key=(job.name) {
                    h2 { a href={ "/ui/jobs/" (job.name) } { (gallery::title(job)) } }
                    @if let Some(created) = &job.created { p.line { (gallery::ago(created.0)) } }
                    (failures(job))
                    @if may_write { (retry_form(job)) }
                }
            } }
            @if page.next.is_some() { p.help { "Only the newest " (JOBS) " are shown." } }
        },
    )
}

/// Why images of a job failed.
pub(crate) fn failures(job: &Job) -> Markup {
    let listed = &job.status.failures;
    if listed.is_empty() {
        return html! { p { strong { (job.reason) } ": " (job.message) } };
    }
    html! {
        ul.reasons {
            @for failure in listed.iter().take(IMAGES) {
                li {
                    "Image " (failure.index + 1) ": " strong { (failure.reason) } " after " (failure.attempts)
                    (if failure.attempts == 1 { " attempt. " } else { " attempts. " }) (failure.message)
                }
            }
            @if listed.len() > IMAGES { li { "and " (listed.len() - IMAGES) " more" } }
        }
    }
}

/// The button that asks for a job's failed images again.
pub(crate) fn retry_form(job: &Arc<Job>) -> Markup {
    html! {
        form method="post" action={ "/ui/jobs/" (job.name) "/retry" } {
            button.plain type="submit" { "Make the failed images again" span.hidden { " of " (gallery::title(job)) } }
        }
    }
}

/// Asks for a job's failed images again.
pub(crate) async fn retry(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let caller = session::caller(&app, &headers).await?;
    caller.may_write()?;
    let jobs = own::failed_again(&app, &caller, &id, FRONT).await?;
    let again = jobs.first().map_or_else(String::new, |job| format!("?again={}", job.name));
    Ok(Redirect::to(&format!("/ui/failed{again}")).into_response())
}
