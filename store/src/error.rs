use std::{error::Error as StdError, fmt};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

/// Shorthand.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong with the store, by what one can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The description of the output can't work.
    #[error("{what}")]
    Config {
        /// What and why.
        what: String,
    },
    /// No object has this key.
    #[error("there is no object at {at}")]
    NotFound {
        /// Where.
        at: Place,
    },
    /// The bucket does not exist.
    #[error("there is no bucket for {at}: create it, or correct the output's bucket, endpoint or region")]
    NoSuchBucket {
        /// Where.
        at: Place,
    },
    /// The bucket is in another region than the one that requests are signed for.
    #[error("the bucket of {at} is in another region ({cause}): set the output's region")]
    Elsewhere {
        /// Where.
        at: Place,
        /// The server's words.
        cause: String,
    },
    /// The server refuses us, or we have no credentials at all.
    #[error("{at} refused us ({cause}): check the credentials and their rights on the bucket")]
    Denied {
        /// Where.
        at: Place,
        /// S3's error code; empty if the request was never sent or the answer had no body.
        code: String,
        /// The server's words.
        cause: String,
    },
    /// There is an object of this key, and it is not to be overwritten.
    #[error("there is an object already at {at}")]
    Exists {
        /// Where.
        at: Place,
    },
    /// The server knows no such request.
    #[error("{at} does not support this request ({cause})")]
    Unsupported {
        /// Where.
        at: Place,
        /// The server's words.
        cause: String,
    },
    /// The server can't be reached, is too slow or says that it can't serve now. Worth another try.
    #[error("{at} is not available: {cause}")]
    Unavailable {
        /// Where.
        at: Place,
        /// What happened.
        cause: String,
    },
    /// Anything else; another try won't help.
    #[error("{at} answered what was not expected: {cause}")]
    Unexpected {
        /// Where.
        at: Place,
        /// What happened.
        cause: String,
    },
}

/// What an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The server's address.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// The object.
    pub key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{} on {}", self.bucket, self.key, self.endpoint)
    }
}

impl Error {
    /// Might the same request succeed a little later, with nobody doing anything about it?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Sorts what the SDK reports.
    pub(crate) fn sorted<E>(at: Place, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: StdError + ProvideErrorMetadata + 'static,
    {
        match error {
            SdkError::TimeoutError(_) => Self::Unavailable { at, cause: "the request timed out".into() },
            SdkError::ResponseError(_) => Self::Unavailable { at, cause: causes(error) },
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => {
                if let Some(cause) = credentials(error) {
                    return Self::without_credentials(at, cause);
                }
                match error {
                    SdkError::DispatchFailure(_) => Self::Unavailable { at, cause: causes(error) },
                    _ => Self::Unexpected { at, cause: causes(error) },
                }
            }
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let code = service.err().code().unwrap_or_default();
                let cause = match service.err().message() {
                    Some(message) => format!("{status} {code}: {message}"),
                    None => format!("{status} {code}"),
                };
                Self::by_answer(at, status, code, cause)
            }
            other => Self::Unexpected { at, cause: causes(other) },
        }
    }

    /// The chain found none, or could not ask for them.
    fn without_credentials(at: Place, error: &CredentialsError) -> Self {
        let code = String::new();
        match error {
            CredentialsError::CredentialsNotLoaded(_) => {
                Self::Denied { at, code, cause: "no credentials were found".into() }
            }
            CredentialsError::InvalidConfiguration(_) => Self::Denied { at, code, cause: causes(error) },
            _ => Self::Unavailable { at, cause: format!("no credentials yet: {}", causes(error)) },
        }
    }

    /// By status and error code: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.
    fn by_answer(at: Place, status: u16, code: &str, cause: String) -> Self {
        match (status, code) {
            (_, "NoSuchBucket") => Self::NoSuchBucket { at },
            (301 | 307, _) | (400, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
                Self::Elsewhere { at, cause }
            }
            // Clocks that differ, and two writers at once.
            (_, "RequestTimeTooSkewed" | "ConditionalRequestConflict" | "OperationAborted") => {
                Self::Unavailable { at, cause }
            }
            (404, _) => Self::NotFound { at },
            (401 | 403, _) | (400, "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
                Self::Denied { at, code: code.to_owned(), cause }
            }
            (408 | 429, _) | (400, "RequestTimeout" | "BadDigest" | "IncompleteBody") => {
                Self::Unavailable { at, cause }
            }
            (412, _) => Self::Exists { at },
            (501, _) => Self::Unsupported { at, cause },
            (500.., _) => Self::Unavailable { at, cause },
            _ => Self::Unexpected { at, cause },
        }
    }
}

/// The credentials chain's own error, where it is what stopped the request.
fn credentials<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a CredentialsError> {
    chain(error).find_map(|cause| cause.downcast_ref())
}

/// An error with its causes in one line; the SDK's own texts say little more than "dispatch failure".
fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut words: Vec<String> = chain(error).map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::{Error, Place};

    fn by_answer(status: u16, code: &str) -> Error {
        let at = Place { endpoint: "http://s3".into(), bucket: "b".into(), key: "k".into() };
        Error::by_answer(at, status, code, format!("{status} {code}"))
    }

    #[test]
    fn answers_are_sorted_by_what_one_can_do() {
        for (status, code) in [(403, "SignatureDoesNotMatch"), (403, ""), (400, "ExpiredToken"), (401, "")] {
            assert!(matches!(by_answer(status, code), Error::Denied { .. }), "{status} {code}");
        }
        for (status, code) in [
            (503, "SlowDown"),
            (500, "InternalError"),
            (429, ""),
            (400, "RequestTimeout"),
            (403, "RequestTimeTooSkewed"),
            (409, "ConditionalRequestConflict"),
        ] {
            let error = by_answer(status, code);
            assert!(error.is_retryable(), "{status} {code}");
        }
        assert!(matches!(by_answer(404, "NoSuchBucket"), Error::NoSuchBucket { .. }));
        for (status, code) in [(301, "PermanentRedirect"), (400, "AuthorizationHeaderMalformed"), (301, "")] {
            assert!(matches!(by_answer(status, code), Error::Elsewhere { .. }), "{status} {code}");
        }
        assert!(matches!(by_answer(404, "NoSuchKey"), Error::NotFound { .. }));
        assert!(matches!(by_answer(400, "EntityTooLarge"), Error::Unexpected { .. }));
        assert!(matches!(by_answer(501, "NotImplemented"), Error::Unsupported { .. }));
        assert!(matches!(by_answer(412, "PreconditionFailed"), Error::Exists { .. }));
    }
}
