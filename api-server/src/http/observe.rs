//! Every request has an id, is counted, and leaves one line in the log and a span: without keys, queries and bodies.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method},
    middleware::Next,
    response::Response,
};
use telemetry::{Traceparent, continue_trace};
use tracing::{Instrument as _, Span, field::Empty};
use uuid::Uuid;

use crate::app::App;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const COMFY_REQUEST_ID: HeaderName = HeaderName::from_static("x-comfy-request-id");
const LONGEST_ID: usize = 200;
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The front of a route: what its metrics and jobs are labelled with.
fn front_of(route: &str) -> &'static str {
    match route {
        route if route.starts_with("/v1/images") || route == "/v1/models" => "openai",
        route if route.starts_with("/v1/") => "v1",
        route if route.starts_with("/api/v2/") => "comfy-v2",
        route if route.starts_with("/sdapi/") => "a1111",
        route if route.starts_with("/runpod/") => "runpod",
        route if route == "/" || route.starts_with("/ui/") => "page",
        "none" | "/errors/{code}" => "other",
        _ => "comfyui",
    }
}

/// Around every request.
pub(crate) async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let id = request_id(&request);
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let front = front_of(route);
    let span = span(&request, front, route);
    let mut response = next.run(request).instrument(span.clone()).await;
    let (elapsed, status) = (began.elapsed(), response.status().as_u16());
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
    app.metrics.requests.with_label_values(&[front, route, method.as_str(), status_text(status)]).inc();
    app.metrics.seconds.with_label_values(&[front, route]).observe(elapsed.as_secs_f64());
    span.in_scope(|| tracing::info!(target: "access", front, route, %method, status, ms = elapsed.as_millis(), id = id.to_str().unwrap_or_default(), "request"));
    let headers = response.headers_mut();
    headers.insert(COMFY_REQUEST_ID, id.clone());
    headers.insert(REQUEST_ID, id);
    response
}

/// The span of a request, by the semantic conventions for HTTP servers: a child of the client's, if its headers name one.
fn span(request: &Request, front: &'static str, route: &str) -> Span {
    let method = method_text(request.method());
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        otel.status_code = Empty,
        imagejob.front = front,
    );
    let value = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(parent) = value(TRACEPARENT).and_then(Traceparent::parse) {
        continue_trace(&span, parent, value(TRACESTATE));
    }
    span
}

/// The client's, if it is one, so that both logs can be put together.
fn request_id(request: &Request) -> HeaderValue {
    let fit = |value: &&HeaderValue| {
        let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        (1..=LONGEST_ID).contains(&value.len()) && value.as_bytes().iter().all(inside)
    };
    let given = request.headers().get(REQUEST_ID).filter(fit).cloned();
    given.unwrap_or_else(|| {
        let made = Uuid::new_v4().simple().to_string();
        HeaderValue::try_from(made).unwrap_or(HeaderValue::from_static("unknown"))
    })
}

/// The methods that HTTP knows; the conventions call others `_OTHER`.
fn method_text(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

/// Without an allocation for what is usual.
fn status_text(status: u16) -> &'static str {
    match status {
        200 => "200",
        201 => "201",
        202 => "202",
        204 => "204",
        302 => "302",
        303 => "303",
        304 => "304",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        409 => "409",
        413 => "413",
        422 => "422",
        429 => "429",
        500 => "500",
        503 => "503",
        _ => "other",
    }
}
