//! RunPod's serverless API, `/runpod/v2`, as far as clients use it.

use axum::Router;

use crate::app::App;

pub(crate) fn routes() -> Router<App> {
    Router::new()
}
