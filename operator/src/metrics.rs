//! Prometheus metrics. Labels are bounded: pools, typed reasons and tenants that a pool's spec names, never jobs or
//! messages.

use std::collections::HashMap;

use prometheus::{
    CounterVec, Encoder, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
    core::{Collector, MetricVec, MetricVecBuilder},
};

/// The values of the label `phase` of `imagejob_workers`.
pub(crate) const PHASES: [&str; 4] = ["unscheduled", "starting", "idle", "busy"];

/// Every metric of the operator; created once and handed to whoever counts.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) leader: IntGauge,
    pub(crate) jobs_finished: IntCounterVec,
    pub(crate) status_writes: IntCounterVec,
    pub(crate) timeouts: IntCounterVec,
    pub(crate) overflows: IntCounterVec,
    pub(crate) statuses_refused: IntCounterVec,
    pub(crate) plan_seconds: Histogram,
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
    pub(crate) dropped: IntCounter,
    pub(crate) evicts: IntGauge,
    pub(crate) job_seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        Ok(Self {
            leader: add(r, IntGauge::new("imagejob_leader", "1 on the replica that acts")?)?,
            jobs_finished: counters(r, "imagejob_jobs_finished_total", "Jobs finished", &["pool", "reason"])?,
            status_writes: counters(r, "imagejob_status_writes_total", "Status patches sent", &["kind"])?,
            timeouts: counters(
                r,
                "imagejob_request_timeouts_total",
                "Requests that the API server did not answer in time",
                &["executor"],
            )?,
            overflows: counters(
                r,
                "imagejob_overflows_total",
                "Work that did not fit into an executor's channel and was ordered again",
                &["executor"],
            )?,
            statuses_refused: counters(
                r,
                "imagejob_statuses_refused_total",
                "Statuses that the API server does not take, as invalid or too large",
                &["kind"],
            )?,
            plan_seconds: add(
                r,
                Histogram::with_opts(
                    HistogramOpts::new("imagejob_plan_seconds", "How long working out a pool's plan takes")
                        .buckets(vec![0.0005, 0.002, 0.01, 0.05, 0.25, 1.0, 5.0]),
                )?,
            )?,
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
            dropped: add(
                r,
                IntCounter::new(
                    "imagejob_queue_dropped_jobs_total",
                    "Jobs that Redis dropped, by an eviction policy; they are queued again",
                )?,
            )?,
            rebuilds: add(
                r,
                IntCounter::new(
                    "imagejob_queue_rebuilds_total",
                    "Times the queue was rebuilt from the ImageJobs",
                )?,
            )?,
            evicts: add(
                r,
                IntGauge::new(
                    "imagejob_queue_may_lose_data",
                    "1 while Redis may drop what is queued, by its maxmemory-policy",
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
        forget(&self.waiting, pool);
        forget(&self.running, pool);
        forget(&self.late, pool);
        forget(&self.workers, pool);
        forget(&self.cost_per_hour, pool);
        forget(&self.jobs_finished, pool);
        forget(&self.scaling_actions, pool);
        forget(&self.requeued, pool);
        forget(&self.machine_seconds, pool);
        forget(&self.cost, pool);
        forget(&self.on_demand_cost, pool);
        forget(&self.tenant_gpu_seconds, pool);
        forget(&self.tenant_cost, pool);
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

/// Removes what was measured of a pool.
fn forget<T: MetricVecBuilder>(of: &MetricVec<T>, pool: &str) {
    for family in of.collect() {
        for metric in family.get_metric() {
            let labels: HashMap<&str, &str> =
                metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
            if labels.get("pool") == Some(&pool) {
                // An error means that it is gone already.
                let _ = of.remove(&labels);
            }
        }
    }
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
