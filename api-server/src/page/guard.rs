//! What keeps the page from being used by other sites.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::refusal::Refusal;
use crate::{app::App, error::Error, http::Mount};

/// Nothing comes from another host, nothing inline counts, and no other site shows the page in a frame.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);

/// Puts the headers of pages on an answer.
pub(crate) async fn page_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Without a referrer browsers would send `Origin: null` with our own forms.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// Refuses a change that a page of another site sends with our cookie.
pub(crate) async fn same_origin(State(app): State<App>, request: Request, next: Next) -> Response {
    if is_same_origin(request.headers(), &app.public_url) {
        return next.run(request).await;
    }
    Refusal::from(Error::Forbidden(
        "this form was not sent by this page; open the page and try again".to_owned(),
    ))
    .into_response()
}

/// Browsers say it in `Sec-Fetch-Site`, those that talk plain HTTP to another machine in `Origin` only. A request with
/// neither comes from no browser.
fn is_same_origin(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = text("origin") else { return false };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let is_host = authority.zip(text("host")).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host));
    let is_public = public_url.get(..origin.len()).is_some_and(|start| start.eq_ignore_ascii_case(origin))
        && matches!(public_url.as_bytes().get(origin.len()), None | Some(b'/'));
    is_host || is_public
}

/// The page is at the root only: below a pool or a key, `/` belongs to nobody.
pub(crate) async fn at_the_root(State(app): State<App>, request: Request, next: Next) -> Response {
    if request.extensions().get::<Mount>().is_none() {
        return next.run(request).await;
    }
    let name = request.uri().path().to_owned();
    app.problem(Error::NotFound { what: "path", name }).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_site_is_told_from_our_own() {
        let own = |headers: &[(&'static str, &'static str)]| {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
                .collect();
            is_same_origin(&headers, "https://images.example.com")
        };
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        assert!(own(&[("origin", "http://10.0.0.1:8000"), ("host", "10.0.0.1:8000")]));
        assert!(own(&[("origin", "https://images.example.com"), ("host", "internal")]));
        for other in [
            &[("sec-fetch-site", "cross-site"), ("origin", "https://images.example.com")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("origin", "null"), ("host", "images.example.com")],
            &[("origin", "https://evil.example"), ("host", "images.example.com")],
            &[("origin", "https://images.example.co"), ("host", "internal")],
            &[("origin", "https://images.example.com.evil.example"), ("host", "images.example.com")],
            &[("host", "images.example.com")],
            &[],
        ] {
            assert!(!own(other), "{other:?}");
        }
    }
}
