//! What all pages have: the head, the navigation, and regions that change while somebody looks.

use maud::{DOCTYPE, Markup, Render, html};

use super::session::Viewer;

/// The places of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Jobs,
    Status,
    Failed,
}

const PLACES: [(Place, &str, &str); 3] = [
    (Place::Jobs, "/", "Jobs"),
    (Place::Status, "/ui/status", "Queue and spend"),
    (Place::Failed, "/ui/failed", "Failed images"),
];

/// A page. `at`: the place in the navigation that it is.
pub(crate) fn page(title: &str, viewer: Option<&Viewer>, at: Option<Place>, content: &impl Render) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – ImageJob" }
                link rel="icon" href="/ui/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/ui/assets/page.css";
                script src="/ui/assets/page.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="/" { img src="/ui/assets/icon.svg" alt="" width="28" height="28"; "ImageJob" }
                    @if let Some(viewer) = viewer { (navigation(viewer, at)) }
                }
                main id="main" tabindex="-1" { (content) }
            }
        }
    }
}

fn navigation(viewer: &Viewer, at: Option<Place>) -> Markup {
    html! {
        @if let Viewer::Tenant(_) = viewer {
            nav aria-label="Pages" {
                @for (place, href, name) in PLACES {
                    a href=(href) aria-current=[(at == Some(place)).then_some("page")] { (name) }
                }
            }
        }
        form.who method="post" action="/ui/sign-out" {
            span title=(viewer.key().name) {
                @match viewer {
                    Viewer::Tenant(caller) => { span.hidden { "Signed in as tenant " } (caller.tenant.name) },
                    Viewer::Admin(_) => "Administrator",
                }
                @if let Viewer::Tenant(_) = viewer { @if !viewer.may_write() { " " span.tag { "read-only" } } }
            }
            button.plain type="submit" { "Sign out" }
        }
    }
}

/// A region that the page's script fetches again from `from` while somebody looks.
pub(crate) fn live(id: &str, from: &str, content: &impl Render) -> Markup {
    html! { div id=(id) data-live=(from) { (content) } }
}
