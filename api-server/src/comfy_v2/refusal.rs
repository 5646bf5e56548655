//! Errors as Comfy's API v2 tells them: `{"error": {"code", "message", "details"?}}`.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;

use crate::error::Error;

/// The limit of requests a second, whose refusals have a code of their own.
const RATE: &str = "requestsPerSecond";

/// What is wrong with an input of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct FieldError {
    /// The input's name; empty: the node as a whole.
    pub(super) field: String,
    /// What is wrong, for people.
    pub(super) reason: String,
}

/// What is wrong with a graph, by the nodes' ids.
pub(super) type NodeErrors = BTreeMap<String, Vec<FieldError>>;

/// Why a request is not done.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
    node_errors: NodeErrors,
    /// Seconds.
    retry_after: Option<u64>,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), node_errors: NodeErrors::new(), retry_after: None }
    }

    /// The graph can't be run.
    pub(super) fn invalid_workflow(message: impl Into<String>) -> Self {
        Self::new(422, "invalid_workflow", message)
    }

    /// The nodes that it is about.
    pub(super) fn of_nodes(self, node_errors: NodeErrors) -> Self {
        Self { node_errors, ..self }
    }

    /// Something that is no part of this server.
    pub(super) fn not_implemented(message: &str) -> Self {
        Self::new(501, "not_implemented", message)
    }

    /// Why a job is not created. The SDKs try again, for a minute and with the same key, what is answered 429; so this is
    /// said of everything that passes, as long as it is certain that there is no job: its key counts only once.
    pub(super) fn of_submission(error: Error) -> Self {
        match &error {
            Error::Invalid(faults) if faults.iter().all(|fault| fault.pointer.starts_with("/labels")) => {
                let why = faults.iter().map(|fault| fault.detail.as_str()).collect::<Vec<_>>().join("; ");
                Self::new(422, "metadata_invalid", why)
            }
            Error::Unavailable { .. } | Error::InProgress => {
                Self { status: 429, code: "rate_limited", ..error.into() }
            }
            _ => error.into(),
        }
    }

    /// Why a file is not taken.
    pub(super) fn of_upload(error: Error) -> Self {
        match error {
            Error::Invalid(_) => Self::new(422, "invalid_request", error.to_string()),
            other => other.into(),
        }
    }

    /// Why there is no stream. The SDKs poll instead when they are told 501, and take anything else for a failure.
    pub(super) fn of_stream(error: Error) -> Self {
        match error {
            Error::Unavailable { .. } | Error::OverLimit { .. } => {
                Self::not_implemented("events can't be streamed now; poll the job")
            }
            other => other.into(),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (status, code) = match &error {
            Error::NoKey | Error::BadKey | Error::BadToken(_) => (401, "unauthorized"),
            Error::Forbidden(_) => (403, "forbidden"),
            Error::NotFound { .. } => (404, "not_found"),
            Error::Invalid(_) => (422, "invalid_workflow"),
            Error::TooLarge { .. } => (413, "payload_too_large"),
            Error::HashMismatch { .. } => (409, "hash_mismatch"),
            Error::KeyReused => (422, "idempotency_key_reuse"),
            Error::OverLimit { limit, .. } if *limit == RATE => (429, "rate_limited"),
            Error::OverLimit { .. } => (429, "queue_full"),
            Error::InProgress => (409, "upstream_error"),
            Error::Unavailable { .. } => (503, "upstream_error"),
            Error::Unclear { .. } => (500, "upstream_error"),
            Error::Internal(error) => {
                tracing::error!(error, "a request failed by our fault");
                (500, "upstream_error")
            }
        };
        let retry_after = error.retry_after().filter(|_| status != 500);
        Self { retry_after, ..Self::new(status, code, error.to_string()) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { status, code, message, node_errors, retry_after } = self;
        let mut error = json!({ "code": code, "message": message });
        if !node_errors.is_empty() {
            error["details"] = json!({ "node_errors": node_errors });
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(json!({ "error": error }))).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
