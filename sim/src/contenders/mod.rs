//! Who decides how many workers there are.
mod fixed;
mod greedy;
mod keda;
mod product;

use std::time::Duration;

use policy::{Action, Forecast, Sample, Seen, Time};

pub(crate) use fixed::Fixed;
pub(crate) use greedy::Greedy;
pub(crate) use keda::Keda;
pub(crate) use product::Product;

/// What someone decided.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Decisions {
    /// To be done in this order.
    pub(crate) actions: Vec<Action>,
    /// Ask again after this.
    pub(crate) wake_after: Duration,
}

/// Someone who decides.
pub(crate) trait Scaler {
    /// What to do now.
    fn decide(&mut self, now: Time, seen: &Seen) -> Decisions;

    /// Whether to ask when something changes, not only when they asked to be woken.
    fn watches(&self) -> bool {
        true
    }

    /// Something was observed.
    fn learn(&mut self, _sample: &Sample) {}

    /// When the waiting work will be done, if they can tell.
    fn forecast(&self) -> Option<&Forecast> {
        None
    }
}

/// Tasks that wait or run.
fn tasks(seen: &Seen) -> usize {
    let Some(queue) = &seen.queue else { return 0 };
    let waiting: u64 = queue.backlog.iter().map(|bucket| bucket.tasks).sum();
    usize::try_from(waiting).unwrap_or(usize::MAX).saturating_add(queue.running.len())
}
