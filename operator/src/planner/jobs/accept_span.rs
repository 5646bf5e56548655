//! The span `accept` of a job: from the first look at it until it is on its queue, or has ended without.

use telemetry::{Traceparent, continue_trace};
use tracing::field::Empty;

use super::Jobs;
use crate::{
    imagejob::validate::{Course, Problem},
    index::{JobRecord, PoolKey, Uid, Whole},
};

impl Jobs {
    /// Begins the span of a job that was not accepted before, in the trace that its annotation names, else in a new one.
    pub(super) fn trace_acceptance(&mut self, record: &JobRecord, whole: &Whole) {
        if record.told.terms.is_some() || self.spans.contains_key(&record.uid) {
            return;
        }
        let span = tracing::info_span!(
            "accept",
            imagejob.job = %record.uid.job(),
            imagejob.namespace = &*record.namespace,
            imagejob.name = &*record.name,
            imagejob.pool = Empty,
            imagejob.reason = Empty,
            otel.status_code = Empty,
        );
        if span.is_disabled() {
            return;
        }
        if let Some(parent) = annotated(whole) {
            continue_trace(&span, parent, None);
        }
        self.spans.insert(record.uid, span);
    }

    /// What the job's workers go on with: the span of its acceptance, else what its annotation says.
    pub(super) fn traceparent(&self, record: &JobRecord, whole: &Whole) -> Option<Traceparent> {
        let own = self.spans.get(&record.uid).and_then(Traceparent::of);
        own.or_else(|| annotated(whole))
    }

    /// The job is on its queue.
    pub(super) fn accepted_in_trace(&mut self, uid: Uid, pool: &PoolKey) {
        if let Some(span) = self.spans.remove(&uid) {
            span.record("imagejob.pool", pool.to_string());
        }
    }

    /// The job can't be queued. The span of one that waits goes on, with the latest reason.
    pub(super) fn refused_in_trace(&mut self, uid: Uid, problem: &Problem) {
        let Some(span) = self.spans.get(&uid) else { return };
        span.record("imagejob.reason", problem.reason.as_str());
        if problem.course == Course::Ends {
            span.record("otel.status_code", "ERROR");
            self.spans.remove(&uid);
        }
    }
}

fn annotated(whole: &Whole) -> Option<Traceparent> {
    whole.traceparent.as_deref().and_then(Traceparent::parse)
}
