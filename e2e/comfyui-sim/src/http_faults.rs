//! Gives the wrong answers that active faults ask for.
use std::{io, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};

use crate::{
    faults::{Answer, FaultKind},
    http::{Shared, internal_error},
};

/// The number of pieces of a slow answer.
const PIECES: usize = 10;

/// Answers as the active faults ask for, and otherwise as the route does.
pub(crate) async fn apply(State(server): Shared, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let path = path.strip_prefix("/api/").or(path.strip_prefix('/')).unwrap_or_default();
    let route = path.split('/').next().unwrap_or_default().to_owned();
    let of_route = |kind: &FaultKind| matches!(kind, FaultKind::Answer { route: of, .. } if *of == route);
    let how = server.state().faults.of_kind(of_route).into_iter().next();
    match how {
        Some(FaultKind::Answer { how: Answer::Status(status), .. }) => match StatusCode::from_u16(status) {
            Ok(StatusCode::INTERNAL_SERVER_ERROR) | Err(_) => internal_error(),
            Ok(status) => status.into_response(),
        },
        Some(FaultKind::Answer { how: Answer::Slow { millis }, .. }) => {
            in_pieces(next.run(request).await, PIECES, Duration::from_millis(millis)).await
        }
        Some(FaultKind::Answer { how: Answer::Cut, .. }) => {
            in_pieces(next.run(request).await, PIECES / 2, Duration::ZERO).await
        }
        _ => next.run(request).await,
    }
}

/// Sends the first `count` pieces of an answer, spread over a time. If these are not all pieces, the connection closes
/// after them.
async fn in_pieces(answer: Response, count: usize, time: Duration) -> Response {
    let (mut head, body) = answer.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else { return internal_error() };
    // Without this header the end of the connection would be the end of the body.
    head.headers.insert(header::CONTENT_LENGTH, body.len().into());
    let size = body.len().div_ceil(PIECES).max(1);
    let mut pieces: Vec<io::Result<Bytes>> = Vec::new();
    for start in (0..body.len()).step_by(size).take(count) {
        pieces.push(Ok(body.slice(start..(start + size).min(body.len()))));
    }
    if count < PIECES {
        pieces.push(Err(io::Error::other("cut in the middle")));
    }
    let pause = time.div_f64(f64::from(u32::try_from(PIECES).unwrap_or(1)));
    let pieces = stream::iter(pieces).then(move |piece| async move {
        tokio::time::sleep(pause).await;
        piece
    });
    Response::from_parts(head, Body::from_stream(pieces))
}
