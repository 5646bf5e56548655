use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use store::Conditions;

/// Seconds; from a cached answer to a large picture on a slow card.
const SECONDS: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0];

/// What Prometheus reads. Handed around, not global, so that two workers can live in one process.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Tasks, by what became of them here.
    tasks: IntCounterVec,
    /// Failed and rejected tasks, by reason.
    failures: IntCounterVec,
    /// Engine time of a picture.
    pub(crate) engine_seconds: Histogram,
    /// From the end of generation until the pictures are stored.
    pub(crate) upload_seconds: Histogram,
    /// Times the engine died under a picture.
    pub(crate) engine_deaths: IntCounter,
    /// Sampling steps not taken again because an earlier attempt's latent was there.
    pub(crate) steps_resumed: IntCounter,
    /// Tasks in hand.
    pub(crate) held: IntGauge,
    /// 1 where a part we depend on works.
    up: IntGaugeVec,
    /// 1 for what becomes of a conditional write in our bucket.
    conditional_writes: IntGaugeVec,
}

/// What became of a task here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Completed,
    Found,
    Listed,
    Failed,
    Rejected,
    Doubted,
    Crashed,
    Withheld,
    Interrupted,
    HandedBack,
    Cancelled,
    Lost,
    /// Reported, but no longer ours to report.
    Stale,
}

impl Outcome {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Found => "found",
            Self::Listed => "listed",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Doubted => "doubted",
            Self::Crashed => "crashed",
            Self::Withheld => "withheld",
            Self::Interrupted => "interrupted",
            Self::HandedBack => "handed_back",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Stale => "stale",
        }
    }
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let histogram = |name: &str, help: &str| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))
        };
        let metrics = Self {
            registry: Registry::new_custom(Some("gpu_worker".into()), None)?,
            tasks: IntCounterVec::new(
                Opts::new("tasks_total", "Tasks, by what became of them here"),
                &["outcome"],
            )?,
            failures: IntCounterVec::new(
                Opts::new("failures_total", "Failed tasks, by reason"),
                &["reason"],
            )?,
            engine_seconds: histogram("engine_seconds", "Engine time of a picture")?,
            upload_seconds: histogram("upload_seconds", "Time to store the pictures of a task")?,
            engine_deaths: IntCounter::new("engine_deaths_total", "Times the engine died under a picture")?,
            steps_resumed: IntCounter::new(
                "steps_resumed_total",
                "Sampling steps that an earlier attempt had done and that were not done again",
            )?,
            held: IntGauge::new("tasks_in_hand", "Tasks in hand, uploading ones included")?,
            up: IntGaugeVec::new(Opts::new("up", "1 where a part we depend on works"), &["part"])?,
            conditional_writes: IntGaugeVec::new(
                Opts::new(
                    "conditional_writes",
                    "1 for what the bucket does with writes that are to overwrite nothing",
                ),
                &["how"],
            )?,
        };
        let Self {
            registry,
            tasks,
            failures,
            engine_seconds,
            upload_seconds,
            engine_deaths,
            steps_resumed,
            held,
            up,
            conditional_writes,
        } = &metrics;
        registry.register(Box::new(tasks.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        registry.register(Box::new(engine_seconds.clone()))?;
        registry.register(Box::new(upload_seconds.clone()))?;
        registry.register(Box::new(engine_deaths.clone()))?;
        registry.register(Box::new(steps_resumed.clone()))?;
        registry.register(Box::new(held.clone()))?;
        registry.register(Box::new(up.clone()))?;
        registry.register(Box::new(conditional_writes.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn task(&self, outcome: Outcome) {
        self.tasks.with_label_values(&[outcome.label()]).inc();
    }

    /// `reason` is one of our own constants.
    pub(crate) fn failure(&self, reason: &str) {
        self.failures.with_label_values(&[reason]).inc();
    }

    pub(crate) fn part(&self, part: &str, works: bool) {
        self.up.with_label_values(&[part]).set(works.into());
    }

    pub(crate) fn conditional_writes(&self, conditions: Conditions) {
        self.conditional_writes.reset();
        self.conditional_writes.with_label_values(&[conditions.to_string()]).set(1);
    }

    /// The text format of Prometheus.
    pub(crate) fn text(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}
