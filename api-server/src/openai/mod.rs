//! OpenAI's Images API, `/v1/images` and `/v1/models`.

use axum::Router;

use crate::app::App;

pub(crate) fn routes() -> Router<App> {
    Router::new()
}
