//! Errors as problem+json (RFC 9457).

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
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
        "Something that the API needs is away for now. Try again after Retry-After seconds, with the same Idempotency-Key.",
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
            Error::BadKey | Error::BadToken(_) => 1,
            Error::Forbidden(_) => 2,
            Error::NotFound { .. } => 3,
            Error::Invalid(_) => 4,
            Error::TooLarge { .. } => 5,
            Error::KeyReused => 6,
            Error::InProgress => 7,
            Error::OverLimit { .. } => 8,
            Error::Unavailable { .. } | Error::Unclear { .. } => 9,
            Error::Internal(_) => 10,
            Error::HashMismatch { .. } => 11,
        }
    }

    /// The code of its kind.
    pub(crate) fn code(&self) -> &'static str {
        KINDS[self.kind()].0
    }

    /// What the answer's body says.
    pub(crate) fn body(&self) -> Value {
        let (code, status, title, _) = KINDS[self.kind()];
        let Self { error, public_url } = self;
        let mut body = json!({
            "type": format!("{public_url}/errors/{code}"),
            "title": title,
            "status": status,
            "detail": error.to_string(),
            "code": code,
        });
        match error {
            Error::Invalid(faults) => {
                let fault =
                    |fault: &crate::error::Fault| json!({ "pointer": fault.pointer, "detail": fault.detail });
                body["errors"] = faults.iter().map(fault).collect();
            }
            Error::OverLimit { limit, .. } => body["violated-policies"] = json!([limit]),
            _ => {}
        }
        body
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (_, status, ..) = KINDS[self.kind()];
        if let Error::Internal(error) = &self.error {
            tracing::error!(error, "a request failed by our fault");
        }
        let body = self.body();
        let Self { error, .. } = self;
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

/// What the framework refuses by itself, e.g. a number in a path that is none, in this front's own form.
pub(crate) async fn in_our_words(State(app): State<App>, response: Response) -> Response {
    let is_text = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !(response.status().is_client_error() && is_text) {
        return response;
    }
    const LONGEST: usize = 1024;
    let words = axum::body::to_bytes(response.into_body(), LONGEST).await.unwrap_or_default();
    let words = String::from_utf8_lossy(&words).into_owned();
    let error = match words.strip_prefix("Invalid URL: ") {
        Some(why) => Error::NotFound { what: "path", name: why.to_owned() },
        None => Error::invalid("", words),
    };
    app.problem(error).into_response()
}

/// Of a path that there is not.
pub(crate) async fn no_such_path(State(app): State<App>, uri: Uri) -> Problem {
    app.problem(Error::NotFound { what: "path", name: uri.path().to_owned() })
}

/// Of a path that does not take the request's method.
pub(crate) async fn no_such_method(method: Method) -> Response {
    let detail = format!("this path does not take {method}; the header Allow says what it takes");
    let body = json!({ "type": "about:blank", "title": "Method not allowed", "status": 405, "detail": detail, "code": "method-not-allowed" });
    let mut response = (StatusCode::METHOD_NOT_ALLOWED, Json(body)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
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
