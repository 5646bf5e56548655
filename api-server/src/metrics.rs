//! What is counted, for /metrics.

use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// Seconds, from what a cache answers in to what waits for a picture.
const BUCKETS: [f64; 12] = [0.001, 0.005, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 600.0];

/// The server's metrics.
pub(crate) struct Metrics {
    registry: Registry,
    /// Requests by front, route, method and status.
    pub(crate) requests: IntCounterVec,
    /// Until the answer's first byte, by front and route.
    pub(crate) seconds: HistogramVec,
    /// Streams that are open now, by front.
    pub(crate) streams: IntGaugeVec,
    /// Submissions by front and outcome.
    pub(crate) submissions: IntCounterVec,
    /// Attempts to deliver webhooks, by how they ended.
    pub(crate) webhooks: IntCounterVec,
    /// Requests to SQS about intakes that failed, by what was asked.
    pub(crate) sqs_errors: IntCounterVec,
}

impl Metrics {
    /// # Errors
    /// If a metric can't be registered.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new("imagejob_api_requests_total", "Requests."),
            &["front", "route", "method", "status"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new("imagejob_api_request_seconds", "Time until an answer begins.")
                .buckets(BUCKETS.to_vec()),
            &["front", "route"],
        )?;
        let streams = IntGaugeVec::new(
            Opts::new("imagejob_api_streams", "Streams of events that are open."),
            &["front"],
        )?;
        let submissions = IntCounterVec::new(
            Opts::new("imagejob_api_submissions_total", "Jobs that were asked for."),
            &["front", "outcome"],
        )?;
        let webhooks = IntCounterVec::new(
            Opts::new("imagejob_api_webhook_attempts_total", "Attempts to deliver webhooks."),
            &["outcome"],
        )?;
        let sqs_errors = IntCounterVec::new(
            Opts::new("imagejob_api_sqs_errors_total", "Requests to SQS that failed."),
            &["action"],
        )?;
        registry.register(Box::new(sqs_errors.clone()))?;
        registry.register(Box::new(webhooks.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(streams.clone()))?;
        registry.register(Box::new(submissions.clone()))?;
        Ok(Self { registry, requests, seconds, streams, submissions, webhooks, sqs_errors })
    }

    /// Counts a stream of this front until what is returned is dropped.
    pub(crate) fn open_stream(&self, front: &str) -> OpenStream {
        let gauge = self.streams.with_label_values(&[front]);
        gauge.inc();
        OpenStream(gauge)
    }

    pub(crate) fn render(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// A stream that is open, as the metric counts it.
pub(crate) struct OpenStream(IntGauge);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}
