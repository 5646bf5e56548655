//! `/ws`: tells clients how their prompts go. Every replica watches all jobs, so a client may be connected to any.

mod deliver;
mod session;
mod telling;

use axum::{
    extract::{Query, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use uuid::Uuid;

use self::session::Session;
use super::refusal::Refusal;
use crate::{app::App, auth::with_token, http::StaysOpen};

/// Clients send little; more in one message ends the connection.
const MESSAGE_AT_MOST: usize = 64 << 10;

/// Who connects. A browser can set no header of a WebSocket, so the key may be the token.
#[derive(Deserialize, Default)]
pub(super) struct Asked {
    #[serde(rename = "clientId", default)]
    client_id: String,
    token: Option<String>,
}

/// Opens a socket. Any origin may: what counts is the key, which no browser adds by itself.
pub(super) async fn open(
    State(app): State<App>,
    stays_open: StaysOpen,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let caller = match app.caller(&with_token(headers, asked.token.as_deref())) {
        Ok(caller) => caller,
        Err(error) => return Refusal::from(error).into_response(),
    };
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.max_message_size(MESSAGE_AT_MOST).max_frame_size(MESSAGE_AT_MOST),
        Err(rejection) => return rejection.into_response(),
    };
    let client_id = match asked.client_id {
        id if id.is_empty() => Uuid::new_v4().simple().to_string(),
        id => id,
    };
    upgrade.on_upgrade(async |socket| {
        Session::run(app, caller, client_id, socket).await;
        drop(stays_open);
    })
}
