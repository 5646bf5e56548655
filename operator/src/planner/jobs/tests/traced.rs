//! Jobs that belong to a trace.

use crds::names::ANNOTATION_TRACEPARENT;

use super::*;

#[tokio::test]
async fn the_workers_get_the_trace_that_the_jobs_annotation_names_if_it_is_valid() {
    let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let long = "x".repeat(10_000);
    for (annotation, wanted) in [(valid, Some(valid)), ("00-nonsense", None), (&long, None)] {
        let mut desk = Desk::new();
        desk.see(&json!({"metadata": {"annotations": {ANNOTATION_TRACEPARENT: annotation}}}));
        let job = desk.queued(Enqueued::New);
        let task: queue::TaskSpec = serde_json::from_slice(&job.payload).unwrap();
        assert_eq!(task.traceparent.as_deref(), wanted);
        assert!(desk.jobs.spans.is_empty());
    }
}
