//! Errors as RunPod tells them: `{"error": …}`.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::error::Error;

/// A request that is not done.
#[derive(Debug)]
pub(crate) struct Refusal(Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(error) = self;
        if let Error::Internal(error) = &error {
            tracing::error!(error, "a request failed by our fault");
        }
        let status = match &error {
            Error::Invalid(_) | Error::NotFound { what: "model", .. } => StatusCode::BAD_REQUEST,
            error => error.status(),
        };
        let mut response = (status, Json(json!({ "error": error.to_string() }))).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = error.retry_after() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
