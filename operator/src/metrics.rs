//! Prometheus metrics. Labels are bounded: pools, typed reasons and tenants that a pool's spec names, never jobs or
//! messages.

use prometheus::{
    CounterVec, Encoder, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};

/// The values of the label `phase` of `imagejob_workers`.
pub(crate) const PHASES: [&str; 4] = ["unscheduled", "starting", "idle", "busy"];

/// Every metric of the operator; created once and handed to whoever counts.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) leader: IntGauge,
    /// By controller (imagejob, workerpool) and the step that failed.
    pub(crate) reconcile_errors: IntCounterVec,
    pub(crate) reconcile_seconds: HistogramVec,
    pub(crate) jobs_finished: IntCounterVec,
    pub(crate) status_writes: IntCounterVec,
    pub(crate) events_dropped: IntCounter,
    pub(crate) unparseable: IntCounterVec,
    pub(crate) waiting: IntGaugeVec,
    pub(crate) running: IntGaugeVec,
    pub(crate) late: IntGaugeVec,
    pub(crate) workers: IntGaugeVec,
    pub(crate) scaling_actions: IntCounterVec,
    pub(crate) requeued: IntCounterVec,
    pub(crate) cost_per_hour: GaugeVec,
    pub(crate) machine_seconds: IntCounterVec,
    pub(crate) cost: CounterVec,
    pub(crate) on_demand_cost: CounterVec,
    pub(crate) tenant_gpu_seconds: CounterVec,
    pub(crate) tenant_cost: CounterVec,
    pub(crate) rebuilds: IntCounter,
    pub(crate) job_seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        Ok(Self {
            leader: add(r, IntGauge::new("imagejob_leader", "1 on the replica that acts")?)?,
            reconcile_errors: counters(
                r,
                "imagejob_reconcile_errors_total",
                "Reconciles that failed and are tried again",
                &["controller", "step"],
            )?,
            reconcile_seconds: add(
                r,
                HistogramVec::new(
                    HistogramOpts::new("imagejob_reconcile_seconds", "How long a reconcile takes")
                        .buckets(vec![0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]),
                    &["controller"],
                )?,
            )?,
            jobs_finished: counters(r, "imagejob_jobs_finished_total", "Jobs finished", &["pool", "reason"])?,
            status_writes: counters(r, "imagejob_status_writes_total", "Status patches sent", &["kind"])?,
            events_dropped: add(
                r,
                IntCounter::new(
                    "imagejob_events_dropped_total",
                    "Events not sent because of the rate limit",
                )?,
            )?,
            unparseable: counters(
                r,
                "imagejob_unparseable_total",
                "Objects seen that do not parse and are left alone",
                &["kind"],
            )?,
            waiting: int_gauges(r, "imagejob_tasks_waiting", "Tasks nobody runs", &["pool"])?,
            running: int_gauges(r, "imagejob_tasks_running", "Tasks leased to a worker", &["pool"])?,
            late: int_gauges(
                r,
                "imagejob_tasks_late",
                "Waiting tasks that will not be done in time, by the last forecast",
                &["pool"],
            )?,
            workers: int_gauges(
                r,
                "imagejob_workers",
                "Workers by capacity and phase",
                &["pool", "capacity", "phase"],
            )?,
            scaling_actions: counters(
                r,
                "imagejob_scaling_actions_total",
                "What scaling did and why",
                &["pool", "action", "reason"],
            )?,
            requeued: counters(
                r,
                "imagejob_tasks_requeued_total",
                "Tasks taken back from a worker that is gone",
                &["pool", "why"],
            )?,
            cost_per_hour: gauges(
                r,
                "imagejob_cost_per_hour",
                "What the workers cost now, in the pool's currency per hour",
                &["pool"],
            )?,
            machine_seconds: counters(
                r,
                "imagejob_machine_seconds_total",
                "Time that workers had a machine",
                &["pool", "capacity"],
            )?,
            cost: amounts(
                r,
                "imagejob_cost_total",
                "What the workers' machines cost, in the pool's currency",
                &["pool", "capacity"],
            )?,
            on_demand_cost: amounts(
                r,
                "imagejob_on_demand_cost_total",
                "What the same machine time would have cost on demand, in the pool's currency",
                &["pool", "capacity"],
            )?,
            tenant_gpu_seconds: amounts(
                r,
                "imagejob_tenant_gpu_seconds_total",
                "GPU time of images made, by tenant named in spec.fairness, others as other",
                &["pool", "tenant"],
            )?,
            tenant_cost: amounts(
                r,
                "imagejob_tenant_cost_total",
                "What that GPU time cost, in the pool's currency",
                &["pool", "tenant"],
            )?,
            rebuilds: add(
                r,
                IntCounter::new(
                    "imagejob_queue_rebuilds_total",
                    "Times the queue was rebuilt from the ImageJobs",
                )?,
            )?,
            job_seconds: add(
                r,
                Histogram::with_opts(
                    HistogramOpts::new("imagejob_job_seconds", "From an ImageJob's creation to its end")
                        .buckets(vec![1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0]),
                )?,
            )?,
            registry,
        })
    }

    /// A pool is gone: what was last seen of it is no longer so. Counters stay as they are.
    pub(crate) fn forget_pool(&self, pool: &str) {
        for gauge in [&self.waiting, &self.running, &self.late] {
            // An error means that nothing was measured yet.
            let _ = gauge.remove_label_values(&[pool]);
        }
        let _ = self.cost_per_hour.remove_label_values(&[pool]);
        for capacity in policy::Capacity::ALL {
            for phase in PHASES {
                let _ = self.workers.remove_label_values(&[pool, capacity.label(), phase]);
            }
        }
    }

    /// The text exposition format.
    pub(crate) fn render(&self) -> Result<String, prometheus::Error> {
        let mut buffer = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut buffer)?;
        String::from_utf8(buffer).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counters(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    add(r, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn amounts(r: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<CounterVec, prometheus::Error> {
    add(r, CounterVec::new(Opts::new(name, help), labels)?)
}

fn int_gauges(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    add(r, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn gauges(r: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
    add(r, GaugeVec::new(Opts::new(name, help), labels)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_is_gone_is_measured_no_longer() {
        let metrics = Metrics::new().unwrap();
        for pool in ["studio/sd15", "studio/sdxl"] {
            metrics.waiting.with_label_values(&[pool]).set(3);
            metrics.late.with_label_values(&[pool]).set(2);
            metrics.cost_per_hour.with_label_values(&[pool]).set(0.9);
            metrics.workers.with_label_values(&[pool, "onDemand", "busy"]).set(1);
        }
        metrics.forget_pool("studio/sd15");
        let shown = metrics.render().unwrap();
        assert!(!shown.contains("studio/sd15"), "{shown}");
        assert_eq!(shown.matches("studio/sdxl").count(), 4);
    }
}
