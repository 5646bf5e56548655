//! Errors as problem+json (RFC 9457).

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{app::App, error::Error};

/// An error, and what links begin with.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) error: Error,
    pub(crate) public_url: std::sync::Arc<str>,
}

/// The kinds of problems: code, status, title, and what to do, for people.
const KINDS: [(&str, u16, &str, &str); 12] = [
    ("no-api-key", 401, "No API key", "Send your API key: Authorization: Bearer KEY."),
    (
        "unknown-api-key",
        401,
        "Unknown API key",
        "The key is misspelt or was revoked. Ask your administrator for another.",
    ),
    ("forbidden", 403, "Not allowed", "Your API key does not allow this. The detail says what is missing."),
    ("not-found", 404, "Not found", "It does not exist, or it belongs to another tenant."),
    (
        "invalid-request",
        422,
        "Invalid request",
        "Each entry of errors says which value is wrong: pointer is a JSON pointer into the request's body.",
    ),
    ("too-large", 413, "Too large", "The request's body is larger than the API takes."),
    (
        "idempotency-key-reused",
        422,
        "Idempotency-Key reused",
        "A request with another body had this key. Use a new key for a new request.",
    ),
    (
        "request-in-progress",
        409,
        "Request in progress",
        "A request with this Idempotency-Key is being worked on. Send it again after Retry-After seconds.",
    ),
    ("over-limit", 429, "Over a limit", "The detail names the limit. Try again after Retry-After seconds."),
    (
        "unavailable",
        503,
        "Unavailable",
        "Something that the API needs is away for now. Nothing was created. Try again after Retry-After seconds.",
    ),
    (
        "internal",
        500,
        "Internal error",
        "This is a fault of the server. Tell your administrator the x-request-id.",
    ),
    ("hash-mismatch", 409, "Another file", "What arrived is not the file that was announced. Send it again."),
];

impl Problem {
    fn kind(&self) -> usize {
        match self.error {
            Error::NoKey => 0,
            Error::BadKey => 1,
            Error::Forbidden(_) => 2,
            Error::NotFound { .. } => 3,
            Error::Invalid(_) => 4,
            Error::TooLarge { .. } => 5,
            Error::KeyReused => 6,
            Error::InProgress => 7,
            Error::OverLimit { .. } => 8,
            Error::Unavailable { .. } => 9,
            Error::Internal(_) => 10,
            Error::HashMismatch { .. } => 11,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (code, status, title, _) = KINDS[self.kind()];
        let Self { error, public_url } = self;
        if let Error::Internal(error) = &error {
            tracing::error!(error, "a request failed by our fault");
        }
        let mut body = json!({
            "type": format!("{public_url}/errors/{code}"),
            "title": title,
            "status": status,
            "detail": error.to_string(),
            "code": code,
        });
        match &error {
            Error::Invalid(faults) => {
                let fault =
                    |fault: &crate::error::Fault| json!({ "pointer": fault.pointer, "detail": fault.detail });
                body["errors"] = faults.iter().map(fault).collect();
            }
            Error::OverLimit { limit, .. } => body["violated-policies"] = json!([limit]),
            _ => {}
        }
        let mut response = (StatusCode::from_u16(status).unwrap_or_default(), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = error.retry_after() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What a problem's `type` leads to.
pub(crate) async fn page(State(app): State<App>, Path(code): Path<String>) -> Result<Json<Value>, Problem> {
    let found = KINDS.iter().find(|(known, ..)| *known == code);
    let error = || Error::NotFound { what: "error", name: code.clone() };
    let (code, status, title, help) = found.ok_or_else(|| app.problem(error()))?;
    Ok(Json(json!({ "code": code, "status": status, "title": title, "help": help })))
}

impl App {
    pub(crate) fn problem(&self, error: Error) -> Problem {
        Problem { error, public_url: std::sync::Arc::clone(&self.public_url) }
    }
}
