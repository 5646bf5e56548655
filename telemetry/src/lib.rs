//! What the programs tell of themselves: log lines, and traces by OTLP where a collector is named.
//!
//! Traces are off unless `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set. They are exported by
//! OTLP over HTTP with protobuf, <https://opentelemetry.io/docs/specs/otlp/>, and configured by OpenTelemetry's own
//! environment variables. Only spans of the programs themselves are exported, without log lines: those may hold what users
//! wrote. The context of a trace passes between the programs as a [`Traceparent`].

mod export;
mod json;
mod traceparent;

use tracing::Metadata;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, filter_fn},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

pub use export::Traces;
pub use traceparent::{Traceparent, continue_trace};

/// The crates whose spans are exported.
const TRACED: [&str; 3] = ["api_server", "operator", "gpu_worker"];

/// How a program tells of itself.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// The program's name: `service.name` of its spans, unless the environment says another.
    pub program: &'static str,
    /// What is logged unless `RUST_LOG` says otherwise, as an [`EnvFilter`].
    pub logged: &'static str,
    /// Log lines are JSON objects, else text.
    pub json: bool,
    /// Lines of text have colours.
    pub ansi: bool,
}

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// Begins to log to standard error, and to export traces if the environment names a collector. TLS needs the process's
/// crypto provider, so that has to be installed before. To be called once; what comes back is to be kept until the end of
/// the process.
#[must_use = "spans that wait are exported when it is dropped"]
pub fn start(setup: Setup) -> Traces {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(setup.logged));
    let (traces, problem) = match export::open(setup.program) {
        Ok(traces) => (traces, None),
        Err(problem) => (Traces::off(), Some(problem)),
    };
    let exported = traces.tracer().map(|tracer| {
        let spans = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        spans.with_filter(filter_fn(is_exported)).boxed()
    });
    let layers: Vec<Boxed> = [lines(setup, filter)].into_iter().chain(exported).collect();
    tracing_subscriber::registry().with(layers).init();
    if let Some(problem) = problem {
        tracing::error!(error = problem, "traces are not exported");
    }
    traces
}

fn lines(setup: Setup, filter: EnvFilter) -> Boxed {
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(setup.ansi);
    // Spans are for traces: lines are the same with and without them.
    let filter = FilterExt::<Registry>::and(filter, filter_fn(is_line));
    if setup.json {
        let fields = fmt::format::JsonFields::new();
        lines.fmt_fields(fields).event_format(json::WithTrace::default()).with_filter(filter).boxed()
    } else {
        lines.with_filter(filter).boxed()
    }
}

fn is_line(metadata: &Metadata<'_>) -> bool {
    metadata.is_event()
}

fn is_exported(metadata: &Metadata<'_>) -> bool {
    let of = metadata.target().split("::").next().unwrap_or_default();
    metadata.is_span() && TRACED.contains(&of)
}
