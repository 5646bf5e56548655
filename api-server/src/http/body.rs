//! Reads a body as JSON, whatever the Content-Type says of it: clients differ in what they send.

use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// A request's body in bytes: a workflow has up to 1 MiB.
pub(crate) const BODY_AT_MOST: usize = 2 << 20;

/// The body's bytes.
pub(crate) fn bytes(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Error> {
    body.map_err(|rejection| match rejection.status().as_u16() {
        413 => Error::TooLarge { most: BODY_AT_MOST },
        _ => Error::invalid("", "the body broke off"),
    })
}

/// The body as `T`.
pub(crate) fn json<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Error> {
    let bytes = bytes(body)?;
    let mut reader = serde_json::Deserializer::from_slice(&bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let pointer = if path == "." { String::new() } else { format!("/{}", path.replace('.', "/")) };
        Error::invalid(pointer, error.into_inner().to_string())
    })?;
    reader.end().map_err(|error| Error::invalid("", error.to_string()))?;
    Ok(value)
}
