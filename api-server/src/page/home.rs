//! `/`: the form and the gallery.

use std::fmt::Write as _;

use axum::{
    extract::{Query, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    create::Draft,
    form, gallery,
    layout::{self, Place},
    refusal::{Refusal, words},
    session::{self, Viewer},
    sign_in,
};
use crate::{
    app::App,
    auth::Caller,
    jobs::{cursor, place_at},
};

/// Jobs on one page.
const JOBS: usize = 24;

/// What of the page is wanted.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wanted {
    /// The recipe whose form is shown.
    recipe: Option<String>,
    /// Where the part of the jobs begins, of a page that is not the first.
    after: Option<String>,
    /// The job that was just created.
    made: Option<String>,
}

/// The page.
pub(crate) async fn home(
    State(app): State<App>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    let caller = match session::viewer(&app, &headers).await? {
        None => return Ok(sign_in::page(None).into_response()),
        Some(viewer @ Viewer::Admin(_)) => return Ok(administrators(&viewer).into_response()),
        Some(Viewer::Tenant(caller)) => caller,
    };
    let draft = Draft { recipe: wanted.recipe.clone(), ..Draft::default() };
    Ok(whole(&app, &caller, &wanted, &draft).await.into_response())
}

/// The gallery alone, for the script.
pub(crate) async fn live(
    State(app): State<App>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Markup, Refusal> {
    let caller = session::caller(&app, &headers).await?;
    Ok(region(&app, &caller, &wanted))
}

/// The page with a form as somebody has filled it in.
pub(crate) async fn whole(app: &App, caller: &Caller, wanted: &Wanted, draft: &Draft) -> Markup {
    let viewer = Viewer::Tenant(caller.clone());
    let content = html! {
        @if let Some(made) = &wanted.made {
            p.notice.good role="status" { "Your job is created: " a href={ "/ui/jobs/" (made) } { "watch it" } "." }
        }
        div.columns.alone[!viewer.may_write()] {
            @if viewer.may_write() { (order(app, caller, draft).await) }
            section aria-labelledby="jobs" {
                h1 id="jobs" { "Jobs" }
                @if !viewer.may_write() { p.help { "You are signed in with a key that may only read." } }
                (region(app, caller, wanted))
            }
        }
    };
    layout::page("Jobs", Some(&viewer), Some(Place::Jobs), &content)
}

async fn order(app: &App, caller: &Caller, draft: &Draft) -> Markup {
    let forms = form::forms(app, caller).await;
    html! {
        section.order aria-labelledby="order" {
            h2 id="order" { "Make images" }
            @match forms {
                Ok(forms) => (form::form(&forms, draft)),
                Err(error) => p.notice.bad role="alert" { (words(&error)) },
            }
        }
    }
}

fn region(app: &App, caller: &Caller, wanted: &Wanted) -> Markup {
    let after = wanted.after.as_deref().and_then(place_at);
    let page = app.cache.jobs.page(&caller.tenant, after.as_ref(), JOBS, |_| true);
    let mut from = "/ui/live/jobs".to_owned();
    if let Some(after) = after.as_ref() {
        let _ = write!(from, "?after={}", cursor(after));
    }
    layout::live(
        "gallery",
        &from,
        &html! {
            (gallery::summary(app, &caller.tenant))
            @if page.jobs.is_empty() { p.empty-list { "There are no jobs yet." } }
            (gallery::cards(app, &page.jobs))
            @if after.is_some() || page.next.is_some() {
                nav.pages aria-label="Parts of the list" {
                    @if after.is_some() { a href="/" { "Newest jobs" } }
                    @if let Some(next) = &page.next { a href={ "/?after=" (cursor(next)) } { "Older jobs" } }
                }
            }
        },
    )
}

fn administrators(viewer: &Viewer) -> Markup {
    layout::page(
        "Administrator",
        Some(viewer),
        None,
        &html! {
            section.narrow {
                h1 { "This key has no jobs" }
                p { "You are signed in with the administrator's key " strong { (viewer.key().name) }
                    ". It creates and revokes keys, over HTTP at " code { "/v1/keys" } ", and has no jobs of its own." }
                p { "To see jobs and to make images, sign out and sign in with a key of a tenant." }
            }
        },
    )
}
