//! Step 5: what is there and not needed goes, the cheapest to lose first, and never one that holds a lease.
use std::{collections::BTreeSet, time::Duration};

use crate::{
    Action, Capacity, Decision, Health, IdleMeter, Order, Phase, Why, Worker, WorkerId,
    demand::{Bucket, there},
    gap::Gap,
    idle,
    on_demand::{OnDemand, kept_busy, spot_carries},
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
    // On-demand first: how much spot is needed hangs on who is left to be replaced.
    for capacity in [Capacity::OnDemand, Capacity::Spot] {
        going.over_maximum(view, capacity);
        if needed(capacity) {
            continue;
        }
        if !view.policy.paused {
            going.not_needed(view, zones, demand, capacity, gap.on_demand);
        }
        going.idle_long(view, demand, capacity, gap.on_demand);
    }
    if !needed(Capacity::Spot) {
        going.spare(view, demand, meter);
    }
    if gap.on_demand == OnDemand::Over && there(demand).next().is_some() && spot_carries(view, demand, zones)
    {
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

    /// How many are left beyond the fleet's minimum.
    fn over_minimum(&self, view: &View, capacity: Capacity) -> usize {
        let gone = view.placed(capacity).filter(|w| w.claims() && self.is_taken(w)).count();
        idle::over_minimum(view, capacity).saturating_sub(gone)
    }

    /// How many may still go: not those that spot does not replace yet.
    fn budget(&self, view: &View, capacity: Capacity) -> usize {
        let stay = if capacity == Capacity::OnDemand { kept_busy(view) } else { 0 };
        self.over_minimum(view, capacity).saturating_sub(stay)
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

    /// Those coming up beyond what the waiting tasks, or on-demand workers to be replaced, can use.
    fn not_needed(
        &mut self,
        view: &View,
        zones: &Zones,
        demand: &[Bucket],
        capacity: Capacity,
        on_demand: OnDemand,
    ) {
        let waiting = idle::waiting(demand, capacity).saturating_sub(idle::idle(view, capacity).len());
        let replaced = match (capacity, on_demand) {
            (Capacity::Spot, OnDemand::StandsIn | OnDemand::Over) => {
                self.over_minimum(view, Capacity::OnDemand)
            }
            _ => 0,
        };
        let coming: Vec<&Worker> = by_phase(view, capacity)
            .into_iter()
            .filter(|w| w.is_coming() && w.claims() && !self.is_taken(w) && !zones.abandons(view, w))
            .collect();
        let over = coming.len().saturating_sub(waiting.max(replaced)).min(self.budget(view, capacity));
        for worker in coming.into_iter().take(over) {
            self.retire(worker, Why::NotNeeded);
        }
    }

    fn idle_long(&mut self, view: &View, demand: &[Bucket], capacity: Capacity, on_demand: OnDemand) {
        let stays = matches!(on_demand, OnDemand::Kept | OnDemand::StandsIn);
        let keeps = capacity == Capacity::Spot || stays;
        let idle_after = view.policy.scaling.idle_after;
        // What was expected to keep a worker busy did not come.
        let most = self.over_minimum(view, capacity);
        self.idle_for(view, demand, capacity, (idle_after, most), |since| Why::Idle { since });
        if !keeps {
            let most = self.budget(view, capacity);
            self.idle_for(view, demand, capacity, (Duration::ZERO, most), |_| Why::OnDemandOver);
        }
    }

    /// At most so many that are idle for so long, and no more than nothing waits for.
    fn idle_for(
        &mut self,
        view: &View,
        demand: &[Bucket],
        capacity: Capacity,
        (longest, most): (Duration, usize),
        why: impl Fn(Duration) -> Why,
    ) {
        let since = |worker: &Worker| match worker.phase {
            Phase::Idle { since } => view.now.since(since),
            _ => Duration::ZERO,
        };
        let (gone, idle): (Vec<_>, Vec<_>) =
            idle::idle(view, capacity).into_iter().partition(|worker| self.is_taken(worker));
        let most = idle::spare(view, demand, capacity).saturating_sub(gone.len()).min(most);
        for worker in idle.into_iter().filter(|worker| since(worker) >= longest).take(most) {
            self.retire(worker, why(since(worker)));
        }
    }

    /// As many of a fleet that is idle in short gaps as its idle time amounts to. The last worker goes by
    /// `idle_after` only: there is nobody to take over its work.
    fn spare(&mut self, view: &View, demand: &[Bucket], meter: &IdleMeter) {
        let idle = idle::idle(view, Capacity::Spot);
        let left = |going: &Self| idle.iter().filter(|w| !going.is_taken(w)).count();
        let keep = idle.len() - idle::spare(view, demand, Capacity::Spot);
        let paid = self.decisions.iter().filter(|d| IdleMeter::is_paid_by(d)).count();
        for _ in paid..meter.too_many(view.policy.scaling.idle_after) {
            let claiming = view.placed(Capacity::Spot).filter(|w| w.claims() && !self.is_taken(w)).count();
            if claiming < 2 || left(self) <= keep || self.budget(view, Capacity::Spot) == 0 {
                return;
            }
            if let Some(worker) = idle.iter().find(|w| !self.is_taken(w)) {
                self.retire(worker, Why::Spare);
            }
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
