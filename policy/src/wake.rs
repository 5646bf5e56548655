//! When to plan again if nothing else calls for it.
use std::time::Duration;

use crate::{Capacity, IdleMeter, Phase, Worker, demand::Bucket, gap::Gap, view::View};

/// While something is under way.
pub(crate) const SOON: Duration = Duration::from_secs(5);
/// While there is nothing.
const LATER: Duration = Duration::from_secs(60);
/// Never sooner: a plan made at once would see the same.
const LEAST: Duration = Duration::from_millis(250);

pub(crate) fn after(view: &View, demand: &[Bucket], gap: &Gap, meter: &IdleMeter) -> Duration {
    let under_way = !demand.is_empty() || !view.running().is_empty() || !gap.missing.is_empty();
    let usual = if under_way { SOON } else { LATER };
    let timeouts = view.workers.iter().filter_map(|worker| timeout(view, worker));
    timeouts.chain(meter.full_in(view.policy.scaling.idle_after)).fold(usual, Duration::min).max(LEAST)
}

/// When a worker's waiting or idling has lasted as long as it may.
fn timeout(view: &View, worker: &Worker) -> Option<Duration> {
    let scaling = &view.policy.scaling;
    let at = match worker.phase {
        Phase::Unscheduled if worker.capacity == Capacity::Spot => {
            worker.created.plus(scaling.spot_shortage_after)
        }
        Phase::Idle { since } => since.plus(scaling.idle_after),
        _ => return None,
    };
    (at > view.now).then(|| at.since(view.now))
}
