//! Errors as the web UI tells them: `{"detail": …}`.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{error::Error, outcome::NotMade};

/// A request that is not done.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    status: StatusCode,
    detail: String,
    retry_after: Option<u64>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        if let Error::Internal(error) = &error {
            tracing::error!(error, "a request failed by our fault");
        }
        let status = match &error {
            Error::NotFound { what: "model", .. } => StatusCode::UNPROCESSABLE_ENTITY,
            error => error.status(),
        };
        Self { status, detail: error.to_string(), retry_after: error.retry_after() }
    }
}

impl From<NotMade> for Refusal {
    fn from(not_made: NotMade) -> Self {
        let (status, detail) = match not_made {
            NotMade::Refused(detail) => (StatusCode::UNPROCESSABLE_ENTITY, detail),
            NotMade::Failed(detail) => (StatusCode::INTERNAL_SERVER_ERROR, detail),
            NotMade::Cancelled(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the job was cancelled".to_owned()),
            NotMade::Unfinished => {
                (StatusCode::GATEWAY_TIMEOUT, "the pictures are still being made".to_owned())
            }
        };
        Self { status, detail, retry_after: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "detail": self.detail }))).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"imagejob\""));
        }
        response
    }
}
