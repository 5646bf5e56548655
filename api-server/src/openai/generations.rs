//! `/v1/images/generations` and `/v1/images/edits`.

use axum::{
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
    response::Response,
};
use bytes::Bytes;

use super::{
    error::Refusal,
    make::{Kind, make},
    order::Order,
};
use crate::{app::App, body, error::Error, fields::Fields, http::Mount};

/// Pictures from a text.
pub(crate) async fn generate(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers)?;
    let order = Order::of_fields(Fields::new(body::json(body)?), &caller.tenant)?;
    make(app, caller, &mount, &headers, order, Kind::Generation).await
}

/// Pictures from a picture and a text.
pub(crate) async fn edit(State(app): State<App>, headers: HeaderMap) -> Result<Response, Refusal> {
    app.caller(&headers)?;
    Err(Error::invalid("/image", "pictures can't be handed in yet").into())
}
