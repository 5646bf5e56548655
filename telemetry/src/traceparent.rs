//! The context of a trace as it passes between programs: W3C Trace Context, <https://www.w3.org/TR/trace-context/>.

use std::fmt;

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Characters of a value of version 00: `00-{trace id}-{span id}-{flags}`.
const LENGTH: usize = 55;

/// A valid value of the header `traceparent`: a span, and whether its trace is recorded. It is shown as version 00, in 55
/// characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    trace: TraceId,
    span: SpanId,
    flags: TraceFlags,
}

impl Traceparent {
    /// Reads a value; `None`: it is not valid, and by the standard to be ignored. Of a later version than 00 the parts
    /// that 00 has are read.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let known = text.get(..LENGTH)?;
        let rest = &text[LENGTH..];
        let mut parts = known.split('-');
        let (version, trace) = (hex(parts.next()?, 2)?, hex(parts.next()?, 32)?);
        let (span, flags) = (hex(parts.next()?, 16)?, hex(parts.next()?, 2)?);
        let is_whole = match version {
            "00" => rest.is_empty(),
            "ff" => false,
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        let trace = TraceId::from_hex(trace).ok().filter(|id| *id != TraceId::INVALID)?;
        let span = SpanId::from_hex(span).ok().filter(|id| *id != SpanId::INVALID)?;
        let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
        (is_whole && parts.next().is_none()).then_some(Self { trace, span, flags })
    }

    /// The span that the caller is in; `None`: it is in none that is traced.
    #[must_use]
    pub fn current() -> Option<Self> {
        Self::of_context(&Context::current())
    }

    /// The context of a span; `None`: it is not traced.
    #[must_use]
    pub fn of(span: &Span) -> Option<Self> {
        Self::of_context(&span.context())
    }

    fn of_context(context: &Context) -> Option<Self> {
        let span = context.span();
        let span = span.span_context();
        let (trace, flags) = (span.trace_id(), span.trace_flags() & TraceFlags::SAMPLED);
        span.is_valid().then(|| Self { trace, span: span.span_id(), flags })
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags.to_u8())
    }
}

/// Makes a span that was not entered yet a child of a span of another program. `state` is the value of the header
/// `tracestate`, if there is one; an invalid one is ignored.
pub fn continue_trace(span: &Span, parent: Traceparent, state: Option<&str>) {
    let Traceparent { trace, span: id, flags } = parent;
    let state = state.and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default();
    let remote = SpanContext::new(trace, id, flags, true, state);
    // An error says that the span is not traced.
    let _ = span.set_parent(Context::new().with_remote_span_context(remote));
}

/// So many hexadecimal digits in lower case.
fn hex(text: &str, digits: usize) -> Option<&str> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(is_digit)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::Traceparent;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_value_is_read_and_shown_as_version_00() {
        let shown = |text: &str| Traceparent::parse(text).map(|parsed| parsed.to_string());
        assert_eq!(shown(VALID).as_deref(), Some(VALID));
        let unsampled = VALID.replace("-01", "-00");
        assert_eq!(shown(&unsampled), Some(unsampled));
        let later = VALID.replacen("00", "cc", 1);
        assert_eq!(shown(&later).as_deref(), Some(VALID));
        assert_eq!(shown(&format!("{later}-what-comes-later")).as_deref(), Some(VALID));
        assert_eq!(shown(&VALID.replace("-01", "-ff")).as_deref(), Some(VALID), "unknown flags");
    }

    #[test]
    fn an_invalid_value_is_none() {
        for invalid in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47-3600f067aa0ba902b7-01",
            "ä0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Traceparent::parse(invalid), None, "{invalid}");
        }
    }
}
