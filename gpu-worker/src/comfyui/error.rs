use reqwest::{StatusCode, Url};

/// What went wrong with a request to the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens; the request was not sent.
    #[error("the engine at {base} does not accept connections ({request}): {cause}")]
    NotSent {
        /// The engine.
        base: Url,
        /// Method and path.
        request: String,
        /// What happened.
        cause: String,
    },
    /// No answer, or not all of it: the engine may have acted on the request or not.
    #[error("the engine at {base} did not answer {request}: {cause}")]
    Unanswered {
        /// The engine.
        base: Url,
        /// Method and path.
        request: String,
        /// What happened.
        cause: String,
    },
    /// An answer that says it went wrong.
    #[error("the engine at {base} answered {request} with {status}: {body}")]
    Unexpected {
        /// The engine.
        base: Url,
        /// Method and path.
        request: String,
        /// HTTP status.
        status: StatusCode,
        /// The beginning of what it said.
        body: String,
    },
    /// An answer that can't be read.
    #[error("the engine's answer to {request} can't be read: {cause}")]
    Unreadable {
        /// Method and path.
        request: String,
        /// What the parser says.
        cause: String,
    },
    /// It will not run this graph.
    #[error("{}", .0.words)]
    Refused(super::Refusal),
}

impl Error {
    /// Did it answer, and not with what was asked for? Asking again is of little use.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Unexpected { .. } | Self::Unreadable { .. } | Self::Refused(_) => true,
            Self::NotSent { .. } | Self::Unanswered { .. } => false,
        }
    }
}

/// reqwest's own text names the URL and little else.
pub(super) fn causes(error: &reqwest::Error) -> String {
    let first: &dyn std::error::Error = error;
    match std::iter::successors(first.source(), |error| error.source()).last() {
        Some(root) => root.to_string(),
        None => error.to_string(),
    }
}
