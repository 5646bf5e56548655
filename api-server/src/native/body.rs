//! Reads bodies as JSON, whatever the Content-Type says: Python's urllib and Node send another one.

use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::{BODY_AT_MOST, refusal::Refusal};
use crate::error::Error;

/// The body's bytes.
pub(super) fn bytes(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Error> {
    body.map_err(|rejection| match rejection.status().as_u16() {
        413 => Error::TooLarge { most: BODY_AT_MOST },
        _ => Error::invalid("", "the body broke off"),
    })
}

/// The body as an object.
pub(super) fn object(body: Result<Bytes, BytesRejection>) -> Result<Map<String, Value>, Refusal> {
    let bytes = bytes(body)?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Refusal::new("invalid_request", "the body is not a JSON object")),
        Err(error) => Err(Refusal::new("invalid_request", format!("the body is not JSON: {error}"))),
    }
}

/// What a request takes away: all, or some by their ids.
#[derive(Debug, Default)]
pub(super) struct Away {
    pub(super) all: bool,
    pub(super) ids: Vec<String>,
}

impl Away {
    /// Reads `{"clear": true}` or `{"delete": [ids]}`.
    pub(super) fn read(body: Result<Bytes, BytesRejection>) -> Result<Self, Refusal> {
        let body = object(body)?;
        let ids = body.get("delete").and_then(Value::as_array).into_iter().flatten();
        Ok(Self {
            all: body.get("clear") == Some(&Value::Bool(true)),
            ids: ids.filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }
}
