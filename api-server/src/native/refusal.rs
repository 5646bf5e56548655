//! Errors in ComfyUI's shape.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use crate::error::Error;

/// Why a request is not done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Refusal {
    /// An error of the core.
    Core(Error),
    /// What is sent is wrong.
    Bad(Box<Wrong>),
}

/// What is wrong with a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wrong {
    /// ComfyUI's name of the error.
    pub(super) kind: &'static str,
    pub(super) message: String,
    pub(super) details: String,
    /// What is wrong with nodes, by their ids.
    pub(super) node_errors: Map<String, Value>,
}

impl Refusal {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self::with_details(kind, message, String::new(), Map::new())
    }

    pub(super) fn with_details(
        kind: &'static str,
        message: impl Into<String>,
        details: String,
        node_errors: Map<String, Value>,
    ) -> Self {
        Self::Bad(Box::new(Wrong { kind, message: message.into(), details, node_errors }))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

/// The status and ComfyUI's name of an error.
fn kind_of(error: &Error) -> (u16, &'static str) {
    match error {
        Error::NoKey | Error::BadKey | Error::BadToken(_) => (401, "unauthorized"),
        Error::Forbidden(_) => (403, "forbidden"),
        Error::NotFound { .. } => (404, "not_found"),
        Error::Invalid(_) => (400, "invalid_prompt"),
        Error::TooLarge { .. } => (413, "payload_too_large"),
        Error::HashMismatch { .. } => (400, "invalid_request"),
        Error::KeyReused => (400, "invalid_prompt_id"),
        Error::InProgress => (409, "prompt_in_progress"),
        Error::OverLimit { .. } => (429, "over_limit"),
        Error::Unavailable { .. } | Error::Unclear { .. } => (503, "unavailable"),
        Error::Internal(_) => (500, "internal_error"),
    }
}

/// What happened, in this front's words.
fn message_of(error: &Error) -> String {
    match error {
        Error::KeyReused => "the prompt_id was used before, with another prompt".to_owned(),
        Error::InProgress => "a request with this prompt_id is being worked on; send it again".to_owned(),
        Error::Unclear { what, .. } => {
            format!("{what}; the prompt may be there or not: send it again with the same prompt_id")
        }
        error => error.to_string(),
    }
}

/// An error's body.
pub(super) fn body(kind: &str, message: &str, details: &str, node_errors: &Map<String, Value>) -> Value {
    let error = json!({ "type": kind, "message": message, "details": details, "extra_info": {} });
    json!({ "error": error, "node_errors": node_errors })
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Core(error) => {
                if let Error::Internal(error) = &error {
                    tracing::error!(error, "a request failed by our fault");
                }
                let (status, kind) = kind_of(&error);
                let body = body(kind, &message_of(&error), "", &Map::new());
                let status = StatusCode::from_u16(status).unwrap_or_default();
                let mut response = (status, Json(body)).into_response();
                let headers = response.headers_mut();
                if let Some(seconds) = error.retry_after() {
                    headers.insert(header::RETRY_AFTER, seconds.into());
                }
                if status == StatusCode::UNAUTHORIZED {
                    headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                response
            }
            Self::Bad(wrong) => {
                let Wrong { kind, message, details, node_errors } = *wrong;
                (StatusCode::BAD_REQUEST, Json(body(kind, &message, &details, &node_errors))).into_response()
            }
        }
    }
}
