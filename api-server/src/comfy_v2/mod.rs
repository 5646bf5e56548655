//! ComfyUI's API v2, `/api/v2`: the one of Comfy's own service and its SDKs.

use axum::Router;

use crate::app::App;

pub(crate) fn routes() -> Router<App> {
    Router::new()
}
