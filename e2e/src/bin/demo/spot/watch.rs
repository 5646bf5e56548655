//! Observes the cluster at each check, and keeps the history.

use anyhow::{Context as _, Result};
use crds::{Capacity, ImageJob, Money, PoolCost, WorkerPool, names::LABEL_CAPACITY};
use e2e::Studio;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _, api::ListParams};
use queue::Queue;

/// Observes a studio.
pub(crate) struct Watch<'a> {
    studio: &'a Studio<'a>,
    queue: Queue,
    /// The pool's cost before the watch began.
    before: PoolCost,
}

/// The state of the cluster at one check.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moment {
    /// The number of images that wait for a worker.
    pub(crate) waiting: u64,
    pub(crate) spot: Workers,
    pub(crate) on_demand: Workers,
    /// The number of images requested so far, with the numbers of those that were in time and late.
    pub(crate) asked: u32,
    pub(crate) in_time: u32,
    pub(crate) late: u32,
    /// The cost of the machines so far, and the cost at the on-demand price.
    pub(crate) spent: Money,
    pub(crate) all_on_demand: Money,
    /// The operator's last decision.
    pub(crate) decision: String,
}

/// The number of workers on one kind of machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Workers {
    /// Workers that are ready.
    pub(crate) ready: u32,
    /// Workers that are starting on a machine.
    pub(crate) starting: u32,
    /// Workers that wait for a machine.
    pub(crate) without_machine: u32,
}

/// The states by tick of the market.
pub(crate) struct History {
    moments: Vec<Option<Moment>>,
    last: Moment,
}

impl History {
    pub(crate) fn new(ticks: usize) -> Self {
        Self { moments: vec![None; ticks], last: Moment::default() }
    }

    /// Keeps the last check of a tick. Checks after the end replace the last tick.
    pub(crate) fn add(&mut self, tick: usize, moment: Moment) {
        if let Some(slot) = self.moments.get_mut(tick) {
            *slot = Some(moment.clone());
        }
        self.last = moment;
    }

    pub(crate) fn last(&self) -> &Moment {
        &self.last
    }

    /// The state at each tick so far, in order. A tick without a check has the state of the tick before.
    pub(crate) fn by_tick(&self) -> Vec<&Moment> {
        let seen = self.moments.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let mut before = self.moments.iter().flatten().next();
        let mut moments = Vec::new();
        for moment in self.moments.iter().take(seen) {
            before = moment.as_ref().or(before);
            moments.extend(before);
        }
        moments
    }
}

impl<'a> Watch<'a> {
    /// Begins to watch; cost counts from now.
    pub(crate) async fn new(studio: &'a Studio<'a>) -> Result<Self> {
        let mut watch = Self { studio, queue: studio.queue().await?, before: PoolCost::default() };
        watch.before = watch.cost().await?;
        Ok(watch)
    }

    pub(crate) async fn look(&self) -> Result<Moment> {
        let mut moment = Moment::default();
        let stats = self.queue.stats().await?;
        moment.waiting = stats.backlog.iter().map(|bucket| bucket.tasks).sum();
        for pod in self.studio.workers().await? {
            moment.count(&pod);
        }
        for job in self.jobs().await? {
            moment.asked += 1;
            match e2e::in_time(&job) {
                Some(true) => moment.in_time += 1,
                Some(false) => moment.late += 1,
                None => {}
            }
        }
        let status = self.pool().await?.status.unwrap_or_default();
        let cost = since(status.cost.unwrap_or_default(), &self.before);
        (moment.spent, moment.all_on_demand) = (cost.total, cost.on_demand_total);
        moment.decision = status.last_decision.map(|decision| decision.message).unwrap_or_default();
        Ok(moment)
    }

    /// The cost of the machines since the watch began.
    pub(crate) async fn cost(&self) -> Result<PoolCost> {
        let cost = self.pool().await?.status.and_then(|status| status.cost).unwrap_or_default();
        Ok(since(cost, &self.before))
    }

    /// All jobs of the studio.
    pub(crate) async fn jobs(&self) -> Result<Vec<ImageJob>> {
        // The API server answers from memory.
        let any_version = ListParams::default().match_any();
        Ok(self.studio.api::<ImageJob>().list(&any_version).await?.items)
    }

    async fn pool(&self) -> Result<WorkerPool> {
        let pools: Api<WorkerPool> = self.studio.api();
        pools.list(&ListParams::default()).await?.items.into_iter().next().context("the pool is gone")
    }
}

/// The part of a cost that was added since `before`.
fn since(mut cost: PoolCost, before: &PoolCost) -> PoolCost {
    cost.total = cost.total.minus(before.total);
    cost.on_demand_total = cost.on_demand_total.minus(before.on_demand_total);
    for (machines, before) in [(&mut cost.spot, before.spot), (&mut cost.on_demand, before.on_demand)] {
        machines.seconds = machines.seconds.saturating_sub(before.seconds);
        machines.amount = machines.amount.minus(before.amount);
        machines.on_demand_amount = machines.on_demand_amount.minus(before.on_demand_amount);
    }
    cost
}

impl Workers {
    /// The number of workers that have a machine.
    pub(crate) const fn on_machines(self) -> u32 {
        self.ready + self.starting
    }

    /// The number of all workers.
    pub(crate) const fn wanted(self) -> u32 {
        self.on_machines() + self.without_machine
    }
}

impl Moment {
    /// Counts a worker, unless it is leaving or has ended.
    fn count(&mut self, pod: &Pod) {
        let label = pod.labels().get(LABEL_CAPACITY).map(String::as_str);
        let workers = match label.and_then(Capacity::from_label) {
            Some(Capacity::Spot) => &mut self.spot,
            Some(Capacity::OnDemand) => &mut self.on_demand,
            None => return,
        };
        let Some(status) = &pod.status else { return };
        let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        if ended || pod.metadata.deletion_timestamp.is_some() {
            return;
        }
        let mut conditions = status.conditions.iter().flatten();
        if conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True") {
            workers.ready += 1;
        } else if pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) {
            workers.starting += 1;
        } else {
            workers.without_machine += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_without_a_look_is_as_the_one_before_and_what_comes_after_the_end_is_only_the_last() {
        let asked = |asked| Moment { asked, ..Moment::default() };
        let mut history = History::new(4);
        for (tick, moment) in [(0, asked(1)), (0, asked(2)), (2, asked(3)), (7, asked(4))] {
            history.add(tick, moment);
        }
        let by_tick: Vec<_> = history.by_tick().iter().map(|moment| moment.asked).collect();
        assert_eq!((by_tick, history.last().asked), (vec![2, 2, 3], 4));
    }
}
