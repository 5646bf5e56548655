//! Errors as OpenAI tells them: `{"error": {"message", "type", "param", "code"}}`.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{
    error::{Error, Fault},
    outcome::NotMade,
};

/// Tells OpenAI's SDKs whether to send the request again, whatever its status.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// SDKs that are told to wait longer do not retry at all.
const LONGEST_WAIT: u64 = 120;

/// What is wrong with the request.
const INVALID_REQUEST: &str = "invalid_request_error";
/// What is wrong with us.
const SERVER_ERROR: &str = "server_error";

/// A request that is not done.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<String>,
    message: String,
    retry_after: Option<u64>,
    /// `false`: the same request has no better chance soon.
    retry: bool,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, kind, code: None, param: None, message, retry_after: None, retry: true }
    }

    fn with_code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    fn of_faults(faults: &[Fault], message: String) -> Self {
        let param = faults.iter().find_map(|fault| param_of(&fault.pointer));
        if param.as_deref() == Some("model") {
            return Self { param, ..Self::model_not_found(message) };
        }
        Self { param, ..Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, message) }
    }

    fn model_not_found(message: String) -> Self {
        let refusal = Self::new(StatusCode::NOT_FOUND, INVALID_REQUEST, message).with_code("model_not_found");
        Self { param: Some("model".to_owned()), ..refusal }
    }

    /// As it stands in an answer.
    pub(crate) fn json(&self) -> Value {
        json!({ "error": { "message": self.message, "type": self.kind, "param": self.param, "code": self.code } })
    }
}

/// The name that OpenAI's requests have for the field of an ImageJob, or of a request, that a pointer names.
fn param_of(pointer: &str) -> Option<String> {
    let field = pointer.rsplit('/').next().filter(|field| !field.is_empty())?;
    let param = match field {
        "width" | "height" => "size",
        "count" => "n",
        "negativePrompt" => "negative_prompt",
        "cfgScale" => "guidance_scale",
        field => field,
    };
    Some(param.to_owned())
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (message, retry_after) = (error.to_string(), error.retry_after());
        let invalid = |status| Self::new(status, INVALID_REQUEST, message.clone());
        let refusal = match &error {
            Error::NoKey | Error::BadKey | Error::BadToken(_) => {
                invalid(StatusCode::UNAUTHORIZED).with_code("invalid_api_key")
            }
            Error::Forbidden(_) => invalid(StatusCode::FORBIDDEN),
            Error::NotFound { what: "model", .. } => Self::model_not_found(message),
            Error::NotFound { .. } => invalid(StatusCode::NOT_FOUND),
            Error::Invalid(faults) => Self::of_faults(faults, message),
            Error::TooLarge { .. } => invalid(StatusCode::PAYLOAD_TOO_LARGE),
            Error::KeyReused | Error::InProgress | Error::HashMismatch { .. } => {
                Self { retry: false, ..invalid(StatusCode::CONFLICT) }
            }
            Error::OverLimit { passes_soon: true, .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "requests", message).with_code("rate_limit_exceeded")
            }
            Error::OverLimit { .. } => {
                let code = "insufficient_quota";
                let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, code, message).with_code(code);
                Self { retry: false, ..refusal }
            }
            Error::Unavailable { .. } | Error::Unclear { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, SERVER_ERROR, message)
            }
            Error::Internal(error) => {
                tracing::error!(error, "a request failed by our fault");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER_ERROR, message)
            }
        };
        let retry_after = retry_after.map(|wait| if refusal.retry { wait.min(LONGEST_WAIT) } else { wait });
        Self { retry_after, ..refusal }
    }
}

impl From<NotMade> for Refusal {
    fn from(not_made: NotMade) -> Self {
        let failed = |message: String| Self {
            retry: false,
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER_ERROR, message)
        };
        match not_made {
            NotMade::Refused(message) => Self::new(StatusCode::BAD_REQUEST, INVALID_REQUEST, message),
            NotMade::Failed(message) => failed(message),
            NotMade::Cancelled(_) => failed("the job was cancelled".to_owned()),
            // A request that comes again waits for the same job.
            NotMade::Unfinished => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, SERVER_ERROR, "the picture is still being made")
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.json())).into_response();
        let headers = response.headers_mut();
        if !self.retry {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_fault_names_the_parameter_that_the_caller_knows() {
        for (pointer, param) in [
            ("/work/textToImage/width", Some("size")),
            ("/work/textToImage/cfgScale", Some("guidance_scale")),
            ("/count", Some("n")),
            ("/quality", Some("quality")),
            ("", None),
        ] {
            let refusal = Refusal::from(Error::invalid(pointer, "it is wrong"));
            assert_eq!((refusal.status.as_u16(), refusal.param.as_deref()), (400, param), "{pointer}");
        }
        let refusal = Refusal::from(Error::invalid("/model", "name one"));
        assert_eq!((refusal.status.as_u16(), refusal.code), (404, Some("model_not_found")));
    }

    #[test]
    fn who_may_try_again_is_told_to_wait_two_minutes_at_most() {
        let over = |passes_soon| Error::OverLimit {
            limit: "imagesPerDay",
            what: "over".into(),
            retry_after: Duration::from_secs(5000),
            passes_soon,
        };
        let (soon, late) = (Refusal::from(over(true)), Refusal::from(over(false)));
        assert_eq!((soon.retry, soon.retry_after), (true, Some(120)));
        assert_eq!(
            (late.retry, late.retry_after, late.code),
            (false, Some(5000), Some("insufficient_quota"))
        );
    }
}
