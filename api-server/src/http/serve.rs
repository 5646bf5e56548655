//! Takes connections, and lets those that work end when the server is told to stop.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, time::timeout};
use tower::ServiceExt as _;

use super::mount::take_off;

/// For a request's headers, from the first byte to the last; and between two requests of a connection. Clients' pools keep
/// connections for a minute.
const HEADERS: Duration = Duration::from_secs(75);
/// The headers of a request in bytes; more is refused.
const HEADERS_AT_MOST: usize = 64 << 10;
/// After an accept that failed, e.g. as there are too many open files.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Held by what goes on with a connection after its request, a WebSocket: the server waits for its end as for a request's.
#[derive(Clone)]
pub(crate) struct StaysOpen(#[allow(dead_code, reason = "held")] Arc<Watcher>);

impl<S: Sync> FromRequestParts<S> for StaysOpen {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        // Every request comes by `serve`.
        parts.extensions.get().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// Serves until `stop`; then takes no connection any more and waits up to `drain` for requests that run.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    keys_in_paths: bool,
    stop: impl Future<Output = ()>,
    drain: Duration,
) {
    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(HEADERS_AT_MOST);
    let connections = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(AFTER_FAILURE).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        // Small frames of a stream go out at once.
        let _ = stream.set_nodelay(true);
        let app = app.clone();
        let stays_open = StaysOpen(Arc::new(connections.watcher()));
        let service = tower::service_fn(move |request| {
            let mut request = take_off(request, keys_in_paths);
            request.extensions_mut().insert(stays_open.clone());
            app.clone().oneshot(request)
        });
        let service = TowerToHyperService::new(service);
        let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let watched = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "a connection ended badly");
            }
        });
    }
    drop(listener);
    let ended = timeout(drain, connections.shutdown()).await.is_ok();
    // Without time to drain, idle connections have none either.
    if !ended && !drain.is_zero() {
        tracing::warn!("requests were still running when the time to drain was over");
    }
}
