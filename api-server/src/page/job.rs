//! `/ui/jobs/{id}`: one job.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};
use crds::{ImageJob, WorkOf};
use maud::{Markup, html};

use super::{
    failed, gallery,
    layout::{self, Place},
    refusal::Refusal,
    session::{self, Viewer},
};
use crate::{app::App, auth::Caller, cache::Job, files, follow::Snapshot};

/// The page of a job.
pub(crate) async fn job(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let caller = session::caller(&app, &headers).await?;
    let job = app.jobs.get(&caller.tenant, &id).await?;
    let whole = app.jobs.whole(&caller.tenant, &id).await;
    let viewer = Viewer::Tenant(caller.clone());
    let title = gallery::title(&job);
    let content = html! {
        h1.title { (title) }
        (region(&app, &caller, &job))
        section aria-labelledby="asked" {
            h2 id="asked" { "What was asked for" }
            @match &whole {
                Ok(whole) => (asked(whole)),
                Err(error) => p.notice.bad { (super::refusal::words(error)) },
            }
        }
    };
    Ok(layout::page(&title, Some(&viewer), Some(Place::Jobs), &content).into_response())
}

/// What of it changes, for the script.
pub(crate) async fn live(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Markup, Refusal> {
    let caller = session::caller(&app, &headers).await?;
    let job = app.jobs.get(&caller.tenant, &id).await?;
    Ok(region(&app, &caller, &job))
}

fn region(app: &App, caller: &Caller, job: &Arc<Job>) -> Markup {
    let snapshot = Snapshot::of(app, Arc::clone(job));
    let status = &job.status;
    let may_write = Viewer::Tenant(caller.clone()).may_write();
    layout::live(
        "job",
        &format!("/ui/live/jobs/{}", job.name),
        &html! {
            p.line role="status" { (gallery::state_tag(job)) " " (job.message) }
            (gallery::progress(&snapshot))
            ul.pictures-all {
                @for (index, n, file) in gallery::pictures(job) {
                    li data-key={ (index) "-" (n) } { (gallery::picture(job, index, n, file)) }
                }
            }
            @if !status.failures.is_empty() { (failed::failures(job)) }
            @if may_write && !job.state().is_final() {
                form method="post" action={ "/ui/jobs/" (job.name) "/cancel" } { button.plain type="submit" { "Cancel this job" } }
            }
            @if may_write && job.state() == crate::cache::State::Failed { (failed::retry_form(job)) }
            dl.facts {
                dt { "Id" } dd { code { (job.name) } }
                @if let Some(created) = &job.created { dt { "Created" } dd { (gallery::ago(created.0)) } }
                @if let Some(ended) = &status.completion_time { dt { "Ended" } dd { (gallery::ago(ended.0)) } }
                @if let Some(pool) = &status.pool { dt { "Pool" } dd { (pool.name) } }
                @if let Some(class) = status.class.as_deref().or(job.class.as_deref()) { dt { "Class" } dd { (class) } }
                @if let Some(seed) = status.seed { dt { "Seed" } dd { (seed) } }
                @if let Some(cost) = &status.cost {
                    dt { "Cost" } dd { (cost.amount) " " (cost.currency) " for " (cost.gpu_seconds) " s of GPU time" }
                }
            }
        },
    )
}

fn asked(whole: &ImageJob) -> Markup {
    let text = match whole.spec.work.of_type() {
        Ok(WorkOf::TextToImage(work)) => serde_json::to_value(work),
        Ok(WorkOf::ImageToImage(work)) => serde_json::to_value(work),
        Ok(WorkOf::Recipe(work)) => serde_json::to_value(work),
        Ok(WorkOf::Workflow(_)) => return html! { p { "A workflow of ComfyUI." } },
        Err(error) => return html! { p.notice.bad { (error.to_string()) } },
    };
    let fields = text.ok().and_then(|value| value.as_object().cloned()).unwrap_or_default();
    html! {
        dl.facts {
            @for (name, value) in &fields {
                dt { (name) }
                dd { @match value {
                    serde_json::Value::String(text) => (text),
                    serde_json::Value::Object(values) => {
                        dl.facts { @for (name, value) in values { dt { (name) } dd { (value.as_str().map_or_else(|| value.to_string(), str::to_owned)) } } }
                    },
                    other => (other.to_string()),
                } }
            }
        }
    }
}

/// A file of a job, from the bucket.
pub(crate) async fn file(
    State(app): State<App>,
    headers: HeaderMap,
    Path((id, index, output)): Path<(String, u32, usize)>,
) -> Result<Response, Refusal> {
    let caller = session::caller(&app, &headers).await?;
    let job = app.jobs.get(&caller.tenant, &id).await?;
    let file = files::find(&job, index, output)?;
    let store = app.buckets.of_job(&job).await?;
    Ok(files::download(&store, &file.into(), &headers).await?)
}

/// Stops a job.
pub(crate) async fn cancel(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let caller = session::caller(&app, &headers).await?;
    let job = app.jobs.cancel(&caller, &id).await?;
    Ok(Redirect::to(&format!("/ui/jobs/{}", job.name)).into_response())
}
