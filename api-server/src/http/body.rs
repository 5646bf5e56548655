//! Reads a body as JSON, whatever the Content-Type says of it: clients differ in what they send.

use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// A request's body in bytes: a workflow has up to 1 MiB.
pub(crate) const BODY_AT_MOST: usize = 2 << 20;

/// A body that may hold pictures in base64, in bytes.
pub(crate) const WITH_PICTURES_AT_MOST: usize = 48 << 20;

/// The body's bytes, of a route that takes up to `most`.
pub(crate) fn bytes(body: Result<Bytes, BytesRejection>, most: usize) -> Result<Bytes, Error> {
    body.map_err(|rejection| match rejection.status().as_u16() {
        413 => Error::TooLarge { most },
        _ => Error::invalid("", "the body broke off"),
    })
}

/// The body as `T`, of a route that takes up to [`BODY_AT_MOST`] bytes.
pub(crate) fn json<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Error> {
    parsed(&bytes(body, BODY_AT_MOST)?)
}

/// The body as `T`, of a route that takes up to [`WITH_PICTURES_AT_MOST`] bytes.
pub(crate) fn json_with_pictures<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Error> {
    parsed(&bytes(body, WITH_PICTURES_AT_MOST)?)
}

/// `bytes` as `T`.
pub(crate) fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        // `?`: it is not known where.
        let is_whole = matches!(&*path, "." | "?");
        let pointer = if is_whole { String::new() } else { format!("/{}", path.replace('.', "/")) };
        Error::invalid(pointer, error.into_inner().to_string())
    })?;
    reader.end().map_err(|error| Error::invalid("", error.to_string()))?;
    Ok(value)
}
