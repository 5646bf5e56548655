//! The web page: a person signs in with an API key, asks for images, and sees jobs, queue, workers and spend.
//!
//! Rendered on the server, and of use without JavaScript. Everything goes through the same functions as on the other fronts.

mod assets;
mod chart;
mod create;
mod failed;
mod fields;
mod form;
mod gallery;
mod guard;
mod home;
mod job;
mod layout;
mod refusal;
mod session;
mod sign_in;
mod status;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};

use crate::app::App;

/// The front's name in metrics and labels.
pub(crate) const FRONT: &str = "page";
/// A form that signs in or changes a job, in bytes.
const FORM_AT_MOST: usize = 16 << 10;

pub(crate) fn routes(app: App) -> Router<App> {
    let changes = Router::new()
        .route("/ui/sign-in", post(sign_in::sign_in))
        .route("/ui/sign-out", post(sign_in::sign_out))
        .route("/ui/jobs/{id}/cancel", post(job::cancel))
        .route("/ui/jobs/{id}/retry", post(failed::retry))
        .layer(DefaultBodyLimit::max(FORM_AT_MOST))
        // Files are streamed to the disk, within the pool's limit.
        .merge(Router::new().route("/ui/jobs", post(create::create)).layer(DefaultBodyLimit::disable()))
        .layer(middleware::from_fn_with_state(app.clone(), guard::same_origin));
    Router::new()
        .route("/", get(home::home))
        .route("/ui/live/jobs", get(home::live))
        .route("/ui/jobs/{id}", get(job::job))
        .route("/ui/live/jobs/{id}", get(job::live))
        .route("/ui/status", get(status::status))
        .route("/ui/live/status", get(status::live))
        .route("/ui/failed", get(failed::failed))
        .route("/ui/live/failed", get(failed::live))
        .merge(changes)
        .layer(middleware::from_fn(guard::page_headers))
        // A file has headers of its own.
        .route("/ui/jobs/{id}/files/{index}/{output}", get(job::file))
        .route("/ui/assets/{name}", get(assets::serve))
        .layer(middleware::from_fn_with_state(app, guard::at_the_root))
}
