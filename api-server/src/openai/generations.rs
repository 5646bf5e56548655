//! `/v1/images/generations`: pictures from a text.

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
use crate::{
    app::App,
    fields::Fields,
    http::{Mount, body},
};

/// Makes pictures.
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
