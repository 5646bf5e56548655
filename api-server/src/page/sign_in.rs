//! Signing in and out.

use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    http::{HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    layout,
    refusal::{Refusal, answer, words},
    session,
};
use crate::{app::App, error::Error};

/// What the form sends.
#[derive(Deserialize)]
pub(crate) struct Entered {
    key: String,
}

/// The page that asks for a key. `problem`: what was wrong with the last one.
pub(crate) fn page(problem: Option<&str>) -> Markup {
    layout::page(
        "Sign in",
        None,
        None,
        &html! {
            section.narrow aria-labelledby="sign-in" {
                h1 id="sign-in" { "Sign in" }
                @if let Some(problem) = problem { p.notice.bad id="problem" role="alert" { (problem) } }
                form.stack method="post" action="/ui/sign-in" {
                    // Password managers keep a key under a user's name.
                input type="text" name="username" value="ImageJob" autocomplete="username" hidden;
                label for="key" { "API key" }
                    input id="key" name="key" type="password" required autocomplete="current-password" spellcheck="false"
                        aria-describedby="key-help" aria-invalid=[problem.map(|_| "true")] autofocus;
                    p.help id="key-help" { "It begins with ij_. Your administrator makes keys; a key for reading is enough to look." }
                    button type="submit" { "Sign in" }
                }
            }
        },
    )
}

/// Begins a session.
pub(crate) async fn sign_in(
    State(app): State<App>,
    entered: Result<Form<Entered>, FormRejection>,
) -> Response {
    let begun = match entered {
        Ok(Form(Entered { key })) if !key.trim().is_empty() => session::begin(&app, &key).await,
        _ => Err(Error::NoKey),
    };
    match begun {
        Ok(cookie) => go_home(cookie),
        Err(Error::NoKey) => answer(&Error::NoKey, page(Some("Enter your API key."))),
        Err(error) => answer(&error, page(Some(&words(&error)))),
    }
}

/// Ends the session in this browser.
pub(crate) async fn sign_out(State(app): State<App>) -> Result<Response, Refusal> {
    Ok(go_home(session::end(&app)?))
}

fn go_home(cookie: HeaderValue) -> Response {
    let mut response = Redirect::to("/").into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}
