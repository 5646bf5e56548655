//! Log lines as JSON objects, with the trace that they belong to.

use std::fmt;

use opentelemetry::{Context, trace::TraceContextExt as _};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Json, Writer},
    },
    registry::LookupSpan,
};

/// A line of an event; inside a span that is exported it has `trace_id` and `span_id`.
#[derive(Debug)]
pub(crate) struct WithTrace(Format<Json>);

impl Default for WithTrace {
    fn default() -> Self {
        Self(Format::default().json().with_current_span(false).with_span_list(false))
    }
}

impl<S, N> FormatEvent<S, N> for WithTrace
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let traced = Context::current();
        let span = traced.span().span_context().clone();
        if !span.is_valid() {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match line.trim_end().strip_suffix('}') {
            Some(open) => writeln!(
                writer,
                "{open},\"trace_id\":\"{}\",\"span_id\":\"{}\"}}",
                span.trace_id(),
                span.span_id()
            ),
            None => writer.write_str(&line),
        }
    }
}
