//! A collector of traces: takes spans by OTLP over HTTP with protobuf, and keeps them.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// A span that was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanSeen {
    /// `service.name` of the program that exported it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Hexadecimal.
    pub trace_id: String,
    /// Hexadecimal.
    pub span_id: String,
    /// The parent's `span_id`; empty for the first span of a trace.
    pub parent_id: String,
    /// Its attributes and those of its events, as text.
    pub attributes: BTreeMap<String, String>,
    /// Nanoseconds since the Unix epoch.
    pub began_ns: u64,
    /// Nanoseconds since the Unix epoch.
    pub ended_ns: u64,
    /// Its status is an error.
    pub failed: bool,
}

type Seen = Arc<Mutex<Vec<SpanSeen>>>;

/// A running collector on a free loopback port.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    seen: Seen,
    _serving: AbortOnDropHandle<()>,
}

impl Collector {
    /// Starts a collector.
    ///
    /// # Errors
    /// If it can't listen.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, seen) = (listener.local_addr()?, Seen::default());
        let app = Router::new()
            .route("/v1/traces", post(take))
            .layer(DefaultBodyLimit::disable())
            .with_state(seen.clone());
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { address, seen, _serving: AbortOnDropHandle::new(serving) })
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT` for it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<SpanSeen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn take(State(seen): State<Seen>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.map(|resource| texts(resource.attributes)).unwrap_or_default();
        let service = resource.get("service.name").cloned().unwrap_or_default();
        let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
        seen.extend(spans.map(|span| read(&service, span)));
    }
    StatusCode::OK
}

fn read(service: &str, span: Span) -> SpanSeen {
    let mut attributes = texts(span.attributes);
    for event in span.events {
        attributes.insert(format!("event {}", event.name), String::new());
        attributes.extend(texts(event.attributes));
    }
    SpanSeen {
        service: service.to_owned(),
        name: span.name,
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_id: hex(&span.parent_span_id),
        attributes,
        began_ns: span.start_time_unix_nano,
        ended_ns: span.end_time_unix_nano,
        failed: span.status.is_some_and(|status| status.code == 2),
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes.into_iter().map(|KeyValue { key, value, .. }| (key, text(value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
