//! So many on-demand workers, always.
use std::time::Duration;

use policy::{Action, Capacity, Policy, Seen, Time};

use super::{Decisions, Scaler};
use crate::arrivals::Workload;

/// A fleet of a fixed size, on demand.
#[derive(Debug)]
pub(crate) struct Fixed {
    size: u32,
}

impl Fixed {
    /// Large enough for the peak: all work that arrives within any class's promise is done within that time.
    pub(crate) fn at_peak(work: &Workload, policy: &Policy) -> Self {
        let sizes = (0..policy.classes.len()).map(|class| {
            let sla = policy.classes[class].sla;
            let tasks: Vec<_> = work.tasks.iter().filter(|task| task.class <= class).collect();
            let (mut first, mut sum, mut most) = (0, 0, 0);
            for task in &tasks {
                sum += task.exec;
                while tasks[first].at.plus(sla) < task.at {
                    sum -= tasks[first].exec;
                    first += 1;
                }
                most = most.max(sum);
            }
            most as f64 / 1000.0 / sla.as_secs_f64()
        });
        // `as` saturates.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let size = sizes.fold(0.0, f64::max).ceil() as u32;
        Self { size }
    }
}

impl Scaler for Fixed {
    fn decide(&mut self, _now: Time, seen: &Seen) -> Decisions {
        let missing = self.size.saturating_sub(u32::try_from(seen.workers.len()).unwrap_or(u32::MAX));
        let start = Action::Start { capacity: Capacity::OnDemand, zone: None, n: missing, model: None };
        let actions = if missing > 0 { vec![start] } else { Vec::new() };
        Decisions { actions, wake_after: Duration::from_secs(3600) }
    }

    fn watches(&self) -> bool {
        false
    }
}
