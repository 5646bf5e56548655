//! The jobs with their pictures.

use std::sync::Arc;

use crds::{OutputFile, WorkType};
use maud::{Markup, html};
use uuid::Uuid;

use crate::{
    app::App,
    cache::{Job, State, Tenant},
    follow::Snapshot,
};

/// Pictures of one job in the gallery.
const PICTURES: usize = 4;
/// The name in what the front keeps of a job: what it shows, in short.
pub(crate) const TITLE: &str = "title";

/// A state, for people.
pub(crate) const fn state_name(state: State) -> &'static str {
    match state {
        State::Queued => "Waiting",
        State::Running => "Running",
        State::Suspended => "Suspended",
        State::Cancelling => "Being cancelled",
        State::Completed => "Done",
        State::Failed => "Failed",
        State::Cancelled => "Cancelled",
    }
}

/// What a job is called: what it shows if the page knows, else its name. A name that was made up says nothing, so its type and
/// the beginning of it.
pub(crate) fn title(job: &Job) -> String {
    const SHORT: usize = 8;
    let kept = job.request.front.get(TITLE).and_then(serde_json::Value::as_str);
    if let Some(title) = kept.filter(|title| !title.is_empty()) {
        return title.to_owned();
    }
    if Uuid::try_parse(&job.name).is_err() {
        return job.name.clone();
    }
    format!("{} {}", work_name(job.work), job.name.get(..SHORT).unwrap_or_default())
}

/// A type of work, for people.
const fn work_name(work: Option<WorkType>) -> &'static str {
    match work {
        Some(WorkType::TextToImage) => "Text to image",
        Some(WorkType::ImageToImage) => "Image to image",
        Some(WorkType::Workflow) => "Workflow",
        Some(WorkType::Recipe) => "Recipe",
        Some(WorkType::Unknown) | None => "Job",
    }
}

/// How many of the tenant's jobs run and wait, in a sentence that a screen reader says when it changes.
pub(crate) fn summary(app: &App, tenant: &Tenant) -> Markup {
    let unfinished = app.cache.jobs.page(tenant, None, usize::MAX, |job| !job.state().is_final()).jobs;
    let count = |state| unfinished.iter().filter(|job| job.state() == state).count();
    let (running, waiting) = (count(State::Running), count(State::Queued));
    html! { p.summary role="status" { (running) " running, " (waiting) " waiting" } }
}

/// The jobs as cards.
pub(crate) fn cards(app: &App, jobs: &[Arc<Job>]) -> Markup {
    html! {
        ul.gallery {
            @for job in jobs { (card(app, job)) }
        }
    }
}

fn card(app: &App, job: &Arc<Job>) -> Markup {
    let snapshot = Snapshot::of(app, Arc::clone(job));
    let state = job.state();
    let files = pictures(job);
    html! {
        li.card data-key=(job.name) {
            div.pictures.many[files.len() > 1] {
                @for (index, n, file) in files.iter().take(PICTURES) {
                    (picture(job, *index, *n, file))
                }
                @if files.is_empty() { div.empty aria-hidden="true" { (state_name(state)) } }
            }
            h3 { a href={ "/ui/jobs/" (job.name) } { (title(job)) } }
            p.line {
                (state_tag(job))
                @if let Some(created) = &job.created { " " (ago(created.0)) }
                @if files.len() > PICTURES { " · " (files.len()) " pictures" }
            }
            (progress(&snapshot))
        }
    }
}

/// A job's state as a word.
pub(crate) fn state_tag(job: &Job) -> Markup {
    let state = job.state();
    let kind = match state {
        State::Completed => "good",
        State::Failed => "bad",
        State::Running => "busy",
        _ => "calm",
    };
    html! { span class={ "tag " (kind) } { (state_name(state)) } }
}

/// How far a job is that has not ended.
pub(crate) fn progress(snapshot: &Snapshot) -> Markup {
    const HUNDRED: f64 = 100.0;
    let job = &snapshot.job;
    if job.state().is_final() {
        return Markup::default();
    }
    let percent = format!("{:.0}", snapshot.done() * HUNDRED);
    let made = job.status.counts.unwrap_or_default().succeeded;
    html! {
        p.progress {
            progress max="100" value=(percent) aria-label={ "Progress of " (title(job)) } { (percent) " %" }
            span { (percent) " %, " (made) " of " (job.count) (if job.count == 1 { " image" } else { " images" }) }
        }
    }
}

/// The pictures and videos of a job: the image's number, the file's, and the file.
pub(crate) fn pictures(job: &Job) -> Vec<(u32, usize, &OutputFile)> {
    let all = job
        .status
        .results
        .iter()
        .flat_map(|image| image.outputs.iter().enumerate().map(move |(n, file)| (image.index, n, file)));
    all.filter(|(_, _, file)| file.media_type.starts_with("image/") || file.media_type.starts_with("video/"))
        .collect()
}

/// A picture that leads to the whole file.
pub(crate) fn picture(job: &Job, index: u32, n: usize, file: &OutputFile) -> Markup {
    let path = format!("/ui/jobs/{}/files/{index}/{n}", job.name);
    let label = format!("Image {} of {}", index + 1, title(job));
    html! {
        a.picture href=(path) {
            @if file.media_type.starts_with("video/") {
                video src=(path) aria-label=(label) width=[file.width] height=[file.height] preload="metadata" muted {}
            } @else {
                img src=(path) alt=(label) width=[file.width] height=[file.height] loading="lazy" decoding="async";
            }
        }
    }
}

/// A moment, which the script shows in the reader's time zone.
pub(crate) fn ago(at: jiff::Timestamp) -> Markup {
    let at = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    html! { time datetime=(at) { (at.get(5..16).unwrap_or_default().replace('T', " ")) " UTC" } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_called_by_what_a_person_knows_of_it() {
        let made_up = "2ef8e367-eeeb-4368-9415-4a16f606c206";
        let job =
            |name: &str| Job { name: name.to_owned(), work: Some(WorkType::TextToImage), ..Job::default() };
        assert_eq!(title(&job("lighthouse")), "lighthouse");
        assert_eq!(title(&job(made_up)), "Text to image 2ef8e367");
        let mut shown = job(made_up);
        shown.request.front.insert(TITLE.to_owned(), "a cat".into());
        assert_eq!(title(&shown), "a cat");
    }
}
