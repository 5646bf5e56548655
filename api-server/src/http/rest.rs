//! A request that is refused before all of its body came. Many clients read the answer only after they have sent everything; if
//! the connection were closed before, they would see it break and not the answer. So the rest is read, within limits.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::header::EXPECT,
    middleware::Next,
    response::Response,
};
use futures::future::poll_fn;
use tokio::time::timeout;

/// More of a body that nobody wants is not read, in bytes.
const AT_MOST: usize = 32 << 20;
const WITHIN: Duration = Duration::from_secs(10);

/// A body that can be read on after its reader is gone.
#[derive(Clone)]
struct Lent(Arc<Mutex<Body>>);

/// Around every request.
pub(crate) async fn read_the_rest(request: Request, next: Next) -> Response {
    // A client that asks first has sent nothing of a body that nobody asked for.
    if request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let lent = Lent(Arc::new(Mutex::new(body)));
    let response = next.run(Request::from_parts(head, Body::new(lent.clone()))).await;
    if response.status().is_client_error() {
        // What does not come in time is the client's loss.
        let _ = timeout(WITHIN, lent.discard()).await;
    }
    response
}

impl Lent {
    async fn discard(mut self) {
        let mut read = 0;
        while read < AT_MOST {
            match poll_fn(|context| Pin::new(&mut self).poll_frame(context)).await {
                Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) | None => return,
            }
        }
    }

    fn with<T>(&self, look: impl FnOnce(Pin<&mut Body>) -> T) -> T {
        look(Pin::new(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BoxError>>> {
        self.with(|body| body.poll_frame(context)).map_err(BoxError::from)
    }

    fn is_end_stream(&self) -> bool {
        self.with(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.with(|body| body.size_hint())
    }
}
