use std::{error::Error as StdError, fmt};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::aws::{answer, causes, chain};

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the store. Each variant stands for one remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The output's settings can't work.
    #[error("{what}")]
    Config {
        /// What is wrong and why.
        what: String,
    },
    /// No object has this key.
    #[error("there is no object at {at}")]
    NotFound {
        /// The bucket and key.
        at: Place,
    },
    /// The bucket does not exist.
    #[error("there is no bucket for {at}: create it, or correct the output's bucket, endpoint or region")]
    NoSuchBucket {
        /// The bucket and key.
        at: Place,
    },
    /// The bucket is in another region than the one for which requests are signed.
    #[error("the bucket of {at} is in another region ({cause}): set the output's region")]
    Elsewhere {
        /// The bucket and key.
        at: Place,
        /// The server's message.
        cause: String,
    },
    /// The server refuses us, or we have no credentials.
    #[error("{at} refused us ({cause}): check the credentials and their rights on the bucket")]
    Denied {
        /// The bucket and key.
        at: Place,
        /// S3's error code; empty if no request was sent or the answer had no body.
        code: String,
        /// The server's message.
        cause: String,
    },
    /// An object with this key exists already and must not be overwritten.
    #[error("an object exists already at {at}")]
    Exists {
        /// The bucket and key.
        at: Place,
    },
    /// The object ends before the range that was asked for.
    #[error("{at} ends before that range")]
    Range {
        /// The bucket and key.
        at: Place,
    },
    /// The server does not support the request.
    #[error("{at} does not support this request ({cause})")]
    Unsupported {
        /// The bucket and key.
        at: Place,
        /// The server's message.
        cause: String,
    },
    /// The server can't be reached, is too slow or reports that it is not available. Another try may succeed.
    #[error("{at} is not available: {cause}")]
    Unavailable {
        /// The bucket and key.
        at: Place,
        /// What happened.
        cause: String,
    },
    /// Any other error. Another try does not help.
    #[error("{at} gave an unexpected answer: {cause}")]
    Unexpected {
        /// The bucket and key.
        at: Place,
        /// What happened.
        cause: String,
    },
}

/// The server, bucket and key that an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The server's address.
    pub endpoint: String,
    /// The bucket's name.
    pub bucket: String,
    /// The object's key.
    pub key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{} on {}", self.bucket, self.key, self.endpoint)
    }
}

impl Error {
    /// Whether the same request may succeed a little later without anybody's help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Classifies an error of the SDK.
    pub(crate) fn from_sdk<E>(at: Place, error: &SdkError<E, HttpResponse>) -> Self
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
                Self::from_answer(at, status, code, answer(error).1)
            }
            other => Self::Unexpected { at, cause: causes(other) },
        }
    }

    /// The error if the credentials chain found no credentials, or could not ask for them.
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

    /// Classifies an answer by status and error code:
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.
    fn from_answer(at: Place, status: u16, code: &str, cause: String) -> Self {
        match (status, code) {
            (_, "NoSuchBucket") => Self::NoSuchBucket { at },
            (301 | 307, _) | (400, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
                Self::Elsewhere { at, cause }
            }
            // The clocks differ, or two writers write at once.
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
            (416, _) => Self::Range { at },
            (501, _) => Self::Unsupported { at, cause },
            (500.., _) => Self::Unavailable { at, cause },
            _ => Self::Unexpected { at, cause },
        }
    }
}

/// The error of the credentials chain, if it prevented the request.
fn credentials<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a CredentialsError> {
    chain(error).find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::{Error, Place};

    fn from_answer(status: u16, code: &str) -> Error {
        let at = Place { endpoint: "http://s3".into(), bucket: "b".into(), key: "k".into() };
        Error::from_answer(at, status, code, format!("{status} {code}"))
    }

    #[test]
    fn answers_are_classified_by_their_remedy() {
        for (status, code) in [(403, "SignatureDoesNotMatch"), (403, ""), (400, "ExpiredToken"), (401, "")] {
            assert!(matches!(from_answer(status, code), Error::Denied { .. }), "{status} {code}");
        }
        for (status, code) in [
            (503, "SlowDown"),
            (500, "InternalError"),
            (429, ""),
            (400, "RequestTimeout"),
            (403, "RequestTimeTooSkewed"),
            (409, "ConditionalRequestConflict"),
        ] {
            let error = from_answer(status, code);
            assert!(error.is_retryable(), "{status} {code}");
        }
        assert!(matches!(from_answer(404, "NoSuchBucket"), Error::NoSuchBucket { .. }));
        for (status, code) in [(301, "PermanentRedirect"), (400, "AuthorizationHeaderMalformed"), (301, "")] {
            assert!(matches!(from_answer(status, code), Error::Elsewhere { .. }), "{status} {code}");
        }
        assert!(matches!(from_answer(404, "NoSuchKey"), Error::NotFound { .. }));
        assert!(matches!(from_answer(400, "EntityTooLarge"), Error::Unexpected { .. }));
        assert!(matches!(from_answer(501, "NotImplemented"), Error::Unsupported { .. }));
        assert!(matches!(from_answer(416, "InvalidRange"), Error::Range { .. }));
        assert!(matches!(from_answer(412, "PreconditionFailed"), Error::Exists { .. }));
    }
}
