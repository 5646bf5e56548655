//! The spans of an attempt at an image: `image`, and in it `inputs`, `generate`, `collect` and `upload`. No prompt, graph or
//! file name of a user's is in them.

use queue::{Lease, Reason, TaskSpec};
use telemetry::{Traceparent, continue_trace};
use tracing::{Span, field::Empty};

use crate::{metrics::Outcome, worker::Worker};

/// Begins with the attempt; [`join_trace`] is to follow before it is entered.
pub(crate) fn image(worker: &Worker, lease: &Lease) -> Span {
    tracing::info_span!(
        "image",
        otel.kind = "consumer",
        otel.status_code = Empty,
        imagejob.job = %lease.task.job,
        imagejob.index = lease.task.index,
        imagejob.attempt = lease.attempt,
        imagejob.pool = worker.pool,
        imagejob.class = lease.class,
        imagejob.capacity = worker.capacity.as_str(),
        imagejob.worker = %worker.id,
        imagejob.queued_ms = lease.queued_ms,
        imagejob.outcome = Empty,
        imagejob.reason = Empty,
    )
}

/// Makes the span a part of the job's trace, if it has one.
pub(crate) fn join_trace(image: &Span, spec: &TaskSpec) {
    if let Some(parent) = spec.traceparent.as_deref().and_then(Traceparent::parse) {
        continue_trace(image, parent, None);
    }
}

/// Says on the image's span, which the caller is in, what became of the attempt.
pub(crate) fn ended(outcome: Outcome, reason: Option<Reason>) {
    let image = Span::current();
    image.record("imagejob.outcome", outcome.label());
    if let Some(reason) = reason {
        image.record("imagejob.reason", reason.as_str());
        image.record("otel.status_code", "ERROR");
    }
}
