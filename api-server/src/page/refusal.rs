//! Errors as pages.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use maud::html;

use super::{layout, sign_in};
use crate::error::Error;

/// Why a page is not shown or a form not carried out.
#[derive(Debug)]
pub(crate) struct Refusal(Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let page = match &error {
            Error::NoKey => {
                sign_in::page(Some("You are not signed in, or your session has ended. Sign in to go on."))
            }
            Error::BadKey => sign_in::page(Some(&words(&error))),
            error => layout::page(
                "Not done",
                None,
                None,
                &html! {
                    h1 { "That was not done" }
                    p.notice.bad role="alert" { (words(error)) }
                    p { a href="/" { "Back to the jobs" } }
                },
            ),
        };
        answer(&error, page)
    }
}

/// A page that says what went wrong, with the error's status.
pub(crate) fn answer(error: &Error, page: maud::Markup) -> Response {
    if let Error::Internal(error) = error {
        tracing::error!(error, "a request failed by our fault");
    }
    // Without WWW-Authenticate browsers show no dialog of their own.
    let mut response = (error.status(), page).into_response();
    if let Some(seconds) = error.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What went wrong, for people: a sentence.
pub(crate) fn words(error: &Error) -> String {
    let text = match error {
        Error::BadKey => "this API key is not known: it is misspelt, or was revoked".to_owned(),
        Error::Internal(_) => "this is a fault of the server; tell your administrator the time".to_owned(),
        Error::KeyReused => {
            "this form was sent before with other values; check them and send it again".to_owned()
        }
        Error::InProgress => "this form is being worked on; look at the jobs in a moment".to_owned(),
        Error::Unclear { what, .. } => {
            format!("{what}; the job may be there or not: send the form again, it makes no second job")
        }
        error => error.to_string(),
    };
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        format!("{}{}.", first.to_uppercase(), chars.as_str().trim_end_matches('.'))
    })
}
