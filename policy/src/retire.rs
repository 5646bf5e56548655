//! Step 5: what is there and not needed goes, the cheapest to lose first, and never one that holds a lease.
use std::{collections::BTreeSet, time::Duration};

use crate::{
    Action, Capacity, Decision, Health, IdleMeter, Order, Phase, Why, Worker, WorkerId,
    demand::Bucket,
    gap::Gap,
    idle,
    on_demand::{OnDemand, spot_carries},
    view::View,
    zones::Zones,
};

/// Lets go of workers of both capacities.
pub(crate) fn retire(
    view: &View,
    demand: &[Bucket],
    zones: &Zones,
    gap: &Gap,
    meter: &IdleMeter,
) -> Vec<Decision> {
    let mut going = Going { taken: BTreeSet::new(), decisions: Vec::new() };
    let needed = |capacity| gap.missing.iter().any(|m| m.capacity == capacity && m.why != Why::Minimum);
    going.abandoned(view, zones);
    going.finished_holds(view);
    for capacity in Capacity::ALL {
        going.over_maximum(view, capacity);
        if needed(capacity) {
            continue;
        }
        if !view.policy.paused {
            going.not_needed(view, zones, demand, capacity);
        }
        going.idle_long(view, demand, capacity, gap.on_demand);
    }
    if !needed(Capacity::Spot) {
        going.spare(view, demand, meter);
    }
    if gap.on_demand == OnDemand::Over && !demand.is_empty() && spot_carries(view, demand, zones) {
        going.release_busy(view);
    }
    going.decisions
}

/// Workers let go so far.
struct Going {
    taken: BTreeSet<WorkerId>,
    decisions: Vec<Decision>,
}

impl Going {
    fn retire(&mut self, worker: &Worker, why: Why) {
        if worker.phase != Phase::Busy && self.taken.insert(worker.id.clone()) {
            self.decisions.push(Decision { action: Action::Retire { worker: worker.id.clone() }, why });
        }
    }

    fn is_taken(&self, worker: &Worker) -> bool {
        self.taken.contains(&worker.id)
    }

    /// How many may still go before the fleet is at its minimum.
    fn budget(&self, view: &View, capacity: Capacity) -> usize {
        let gone = view.placed(capacity).filter(|w| w.claims() && self.is_taken(w)).count();
        idle::over_minimum(view, capacity).saturating_sub(gone)
    }

    /// Those that wait where there are no machines, while there may be some elsewhere.
    fn abandoned(&mut self, view: &View, zones: &Zones) {
        for worker in view.placed(Capacity::Spot).filter(|w| zones.abandons(view, w)) {
            self.retire(worker, Why::ZoneShort { zone: worker.zone.clone().unwrap_or_default() });
        }
    }

    /// On-demand workers that were held because they weren't needed, and are through.
    fn finished_holds(&mut self, view: &View) {
        let through = |w: &&Worker| w.health == Health::Well && w.order == Order::Hold;
        for worker in view.placed(Capacity::OnDemand).filter(through) {
            self.retire(worker, Why::OnDemandOver);
        }
    }

    fn over_maximum(&mut self, view: &View, capacity: Capacity) {
        let there = view.placed(capacity).filter(|w| !self.is_taken(w)).count();
        let over = there.saturating_sub(view.max(capacity));
        for worker in by_phase(view, capacity).into_iter().filter(|w| w.phase != Phase::Busy).take(over) {
            self.retire(worker, Why::OverMaximum);
        }
    }

    /// Those coming up beyond what the waiting tasks can use. One that waits where there are no machines stays
    /// while on-demand stands in: it costs nothing, and shows when spot returns.
    fn not_needed(&mut self, view: &View, zones: &Zones, demand: &[Bucket], capacity: Capacity) {
        let useful = idle::waiting(demand, capacity).saturating_sub(idle::idle(view, capacity).len());
        let stood_in = view.placed(Capacity::OnDemand).any(Worker::claims);
        let coming: Vec<&Worker> = by_phase(view, capacity)
            .into_iter()
            .filter(|w| w.is_coming() && w.claims() && !self.is_taken(w) && !zones.abandons(view, w))
            .filter(|w| !(stood_in && zones.hopeless(w)))
            .collect();
        let over = coming.len().saturating_sub(useful).min(self.budget(view, capacity));
        for worker in coming.into_iter().take(over) {
            self.retire(worker, Why::NotNeeded);
        }
    }

    fn idle_long(&mut self, view: &View, demand: &[Bucket], capacity: Capacity, on_demand: OnDemand) {
        let stays = matches!(on_demand, OnDemand::Kept | OnDemand::StandsIn);
        let keeps = capacity == Capacity::Spot || stays;
        let longest = if keeps { view.policy.scaling.idle_after } else { Duration::ZERO };
        let idle = idle::idle(view, capacity).into_iter().filter_map(|worker| match worker.phase {
            Phase::Idle { since } => Some((worker, view.now.since(since))),
            _ => None,
        });
        let long = idle.filter(|(_, since)| *since >= longest);
        let most = idle::spare(view, demand, capacity).min(self.budget(view, capacity));
        for (worker, since) in long.take(most) {
            self.retire(worker, if keeps { Why::Idle { since } } else { Why::OnDemandOver });
        }
    }

    /// One of a fleet that is idle in short gaps too often. The last one goes by `idle_after` only: there is
    /// nobody to take over its work.
    fn spare(&mut self, view: &View, demand: &[Bucket], meter: &IdleMeter) {
        let others = view.placed(Capacity::Spot).filter(|w| w.claims() && !self.is_taken(w)).count();
        if others < 2 || self.budget(view, Capacity::Spot) == 0 || !idle::one_too_many(view, meter) {
            return;
        }
        let idle = idle::idle(view, Capacity::Spot);
        let going = idle.iter().filter(|w| self.is_taken(w)).count();
        if going < idle::spare(view, demand, Capacity::Spot)
            && let Some(worker) = idle.into_iter().find(|w| !self.is_taken(w))
        {
            self.retire(worker, Why::Spare);
        }
    }

    /// On-demand workers that spot can do without finish what they hold, and go then.
    fn release_busy(&mut self, view: &View) {
        let busy = view.placed(Capacity::OnDemand).filter(|w| w.claims() && w.phase == Phase::Busy);
        for worker in busy.take(self.budget(view, Capacity::OnDemand)) {
            let action = Action::Hold { worker: worker.id.clone() };
            self.decisions.push(Decision { action, why: Why::SpotIsBack });
        }
    }
}

/// Workers of a capacity, those that lose the least first: without a machine, coming up, idle, busy; among
/// equals the youngest.
fn by_phase<'a>(view: &View<'a>, capacity: Capacity) -> Vec<&'a Worker> {
    let mut workers: Vec<&Worker> = view.placed(capacity).collect();
    workers.sort_by_key(|worker| {
        let rank = match worker.phase {
            Phase::Unscheduled => 0,
            Phase::Starting { .. } => 1,
            Phase::Idle { .. } => 2,
            Phase::Busy => 3,
        };
        (rank, std::cmp::Reverse(worker.created), worker.id.clone())
    });
    workers
}
