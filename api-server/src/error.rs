//! What can go wrong with a request. The core says it once; each front has its own way to tell it.

use std::time::Duration;

use axum::http::StatusCode;

/// Why a request is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("give an API key, e.g. in the header Authorization: Bearer KEY")]
    NoKey,
    #[error("the API key is not known: it is misspelt, or was revoked")]
    BadKey,
    /// Of an OpenID Connect issuer.
    #[error("the bearer token is refused: {0}")]
    BadToken(String),
    #[error("{0}")]
    Forbidden(String),
    /// It does not exist, or belongs to somebody else: nobody can tell which.
    #[error("there is no {what} {name:?}")]
    NotFound { what: &'static str, name: String },
    #[error("{}", words(.0))]
    Invalid(Vec<Fault>),
    #[error("the request's body is larger than {most} bytes")]
    TooLarge { most: usize },
    #[error("the file is another than it is said to be: its BLAKE3 is {found}")]
    HashMismatch { found: String },
    #[error("the Idempotency-Key was used before, with another request")]
    KeyReused,
    #[error("a request with this Idempotency-Key is being worked on; ask again")]
    InProgress,
    #[error("{what}")]
    OverLimit {
        /// The limit's name in the ImageTenant.
        limit: &'static str,
        what: String,
        retry_after: Duration,
        /// Whether it is worth while to try again in a moment.
        passes_soon: bool,
    },
    /// Something that we need is away. Nothing was created.
    #[error("{what}; nothing was created, try again")]
    Unavailable { what: String, retry_after: Duration },
    /// Something that we need broke off while it was asked: what was asked for may be done or not.
    #[error(
        "{what}; the job may be created or not: send the same request with the same Idempotency-Key again"
    )]
    Unclear { what: String, retry_after: Duration },
    #[error("{0}")]
    Internal(String),
}

impl From<queue::Error> for Error {
    fn from(error: queue::Error) -> Self {
        const RETRY_AFTER: Duration = Duration::from_secs(3);
        tracing::warn!(%error, "Redis does not do what it is asked");
        Self::Unavailable { what: "Redis does not answer".to_owned(), retry_after: RETRY_AFTER }
    }
}

/// What is wrong with a value of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where it stands, as a JSON pointer into the body; empty: the body as a whole.
    pub(crate) pointer: String,
    /// What is wrong, for people.
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

impl Error {
    /// One value is wrong.
    pub(crate) fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![Fault::new(pointer, detail)])
    }

    pub(crate) fn no_job(name: impl Into<String>) -> Self {
        Self::NotFound { what: "job", name: name.into() }
    }

    /// The status that fronts answer with whose protocols say nothing else.
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::NoKey | Self::BadKey | Self::BadToken(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Invalid(_) | Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HashMismatch { .. } | Self::InProgress => StatusCode::CONFLICT,
            Self::OverLimit { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable { .. } | Self::Unclear { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// When to try again, in whole seconds.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        let wait = match self {
            Self::OverLimit { retry_after, .. }
            | Self::Unavailable { retry_after, .. }
            | Self::Unclear { retry_after, .. } => *retry_after,
            Self::InProgress => Duration::from_secs(1),
            _ => return None,
        };
        Some(wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1))
    }
}

fn words(faults: &[Fault]) -> String {
    let word = |fault: &Fault| match fault.pointer.is_empty() {
        true => fault.detail.clone(),
        false => format!("{}: {}", fault.pointer, fault.detail),
    };
    faults.iter().map(word).collect::<Vec<_>>().join("; ")
}
