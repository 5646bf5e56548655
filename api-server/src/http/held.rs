//! An answer that takes long: its connection is kept alive by spaces before the JSON, which parsers skip. Proxies cut
//! connections that are silent for a minute or two.

use std::{io, pin::Pin, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use tokio::time::timeout;

use super::UNBUFFERED;

/// The first space comes so late: until then an answer has the status that it should have.
const SILENT: Duration = Duration::from_secs(10);
/// Between two spaces.
const EVERY: Duration = Duration::from_secs(15);

type Answer<E> = Pin<Box<dyn Future<Output = Result<Bytes, E>> + Send>>;

/// Answers with the JSON that `answer` comes to. An error that comes once spaces were sent breaks the connection: with a
/// status of 200 nobody would take it for one.
pub(crate) async fn held<E: IntoResponse + 'static>(headers: HeaderMap, answer: Answer<E>) -> Response {
    let mut answer = answer;
    if let Ok(answered) = timeout(SILENT, &mut answer).await {
        return match answered {
            Ok(json) => response(headers, Body::from(json)),
            Err(error) => error.into_response(),
        };
    }
    let spaces = stream::unfold(Some((answer, Duration::ZERO)), async |waiting| {
        let (mut answer, pause) = waiting?;
        Some(match timeout(pause, &mut answer).await {
            Err(_) => (Ok(Bytes::from_static(b" ")), Some((answer, EVERY))),
            Ok(Ok(json)) => (Ok(json), None),
            Ok(Err(_)) => (Err(io::Error::other("it failed after the answer had begun")), None),
        })
    });
    let mut response = response(headers, Body::from_stream(spaces));
    response.headers_mut().insert(UNBUFFERED, HeaderValue::from_static("no"));
    response
}

fn response(headers: HeaderMap, body: Body) -> Response {
    let mut response = body.into_response();
    response.headers_mut().extend(headers);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
