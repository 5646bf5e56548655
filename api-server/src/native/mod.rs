//! ComfyUI's own protocol, at the root and below `/api`: HTTP and WebSocket.

use axum::Router;

use crate::app::App;

pub(crate) fn routes() -> Router<App> {
    Router::new()
}
