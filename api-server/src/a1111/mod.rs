//! The API of AUTOMATIC1111's web UI, `/sdapi/v1`, as far as clients use it.

use axum::Router;

use crate::app::App;

pub(crate) fn routes() -> Router<App> {
    Router::new()
}
