//! Decides which workers are removed, and why. A worker that holds a lease is removed only if it can never finish what
//! it holds. Each reason has a file that selects its workers.
use std::collections::BTreeSet;

use crate::{
    Action, Capacity, IdleMeter, Phase, Time, Why, Worker, WorkerId, action::Agenda, gap::Gap, idleness,
    on_demand::kept_busy, situation::Situation,
};

mod broken;
mod drained;
mod failed;
mod idle;
mod no_machine;
mod not_needed;
mod on_demand_over;
mod outdated;
mod over_maximum;
mod pool_at_fault;
mod rolled_out;
mod spare;
mod spot_is_back;
mod suspended;

/// Removes the workers of a capacity to which one reason applies.
type Reason = fn(&mut Leaving, Capacity);

/// The reasons in the order in which they are applied: broken and useless workers go whatever the work is; then excess
/// workers go, the cheapest to lose first.
const REASONS: [Reason; 13] = [
    failed::leave,
    broken::leave,
    pool_at_fault::leave,
    outdated::leave,
    no_machine::leave,
    suspended::leave,
    drained::leave,
    over_maximum::leave,
    rolled_out::leave,
    not_needed::leave,
    idle::leave,
    on_demand_over::leave,
    spare::leave,
];

/// Removes workers of both capacities, on-demand first, because the number of spot workers needed depends on the
/// on-demand workers that they replace. Busy on-demand workers come last, as they go only if spot is up.
pub(crate) fn leave(situation: &Situation, gap: &Gap, meter: &IdleMeter, agenda: &mut Agenda) {
    let mut leaving = Leaving { situation, gap, meter, removed: BTreeSet::new(), agenda };
    for capacity in [Capacity::OnDemand, Capacity::Spot] {
        for reason in REASONS {
            reason(&mut leaving, capacity);
        }
    }
    spot_is_back::leave(&mut leaving, Capacity::OnDemand);
}

/// The workers that a plan removes so far.
pub(crate) struct Leaving<'p, 'v, 'a> {
    situation: &'p Situation<'v, 'a>,
    gap: &'p Gap<'a>,
    meter: &'p IdleMeter,
    removed: BTreeSet<&'a WorkerId>,
    agenda: &'p mut Agenda,
}

impl<'a> Leaving<'_, '_, 'a> {
    fn retire(&mut self, worker: &'a Worker, why: Why) {
        if worker.phase != Phase::Busy && self.removed.insert(&worker.id) {
            self.agenda.add(Action::retire(&worker.id), why);
        }
    }

    /// Lets a worker finish what it holds.
    fn hold(&mut self, worker: &'a Worker, why: Why) {
        if self.removed.insert(&worker.id) {
            self.agenda.add(Action::hold(&worker.id), why);
        }
    }

    /// Gives to others what a worker holds and can never finish.
    fn evict(&mut self, worker: &'a Worker, why: Why) {
        if self.removed.insert(&worker.id) {
            self.agenda.add(Action::Evict { worker: worker.id.clone() }, why);
        }
    }

    /// Makes the next plan due at `at`, when a worker may become removable.
    fn look_again_at(&mut self, at: Time) {
        self.agenda.look_again_at(at);
    }

    /// The members of a fleet that stay so far.
    fn staying(&self, capacity: Capacity) -> impl Iterator<Item = &'a Worker> {
        self.situation.view.in_fleet(capacity).filter(|worker| !self.removed.contains(&worker.id))
    }

    /// The idle workers that stay so far, in the order in which they are removed.
    fn idle(&self, capacity: Capacity) -> Vec<&'a Worker> {
        let idle = idleness::idle(&self.situation.view, capacity).into_iter();
        idle.filter(|worker| !self.removed.contains(&worker.id)).collect()
    }

    /// The number of idle workers that stay so far and that the waiting tasks do not need.
    fn spare(&self, capacity: Capacity) -> usize {
        let idle = idleness::idle(&self.situation.view, capacity);
        let removed = idle.iter().filter(|worker| self.removed.contains(&worker.id)).count();
        idleness::spare(&self.situation.view, self.situation.demand, capacity).saturating_sub(removed)
    }

    /// The number of claiming workers that stay so far beyond the fleet's minimum.
    fn over_minimum(&self, capacity: Capacity) -> usize {
        let claiming = self.staying(capacity).filter(|worker| worker.claims()).count();
        claiming.saturating_sub(self.situation.view.min(capacity))
    }

    /// The same count without workers that are coming up, because those replace nobody yet.
    fn up_over_minimum(&self, capacity: Capacity) -> usize {
        let up = self.staying(capacity).filter(|worker| worker.claims() && worker.is_up()).count();
        up.saturating_sub(self.situation.view.min(capacity))
    }

    /// The number of workers beyond the minimum that may be removed: all but the on-demand workers that arriving work
    /// keeps busy.
    fn may_go(&self, capacity: Capacity) -> usize {
        let Situation { view, demand, .. } = self.situation;
        let stay = if capacity == Capacity::OnDemand { kept_busy(view, demand) } else { 0 };
        self.over_minimum(capacity).saturating_sub(stay)
    }

    /// The workers that stay so far, in the order of what is lost by removing them: without a machine, coming up, idle,
    /// busy; at equal phases the youngest first.
    fn by_phase(&self, capacity: Capacity) -> Vec<&'a Worker> {
        let mut workers: Vec<&Worker> = self.staying(capacity).collect();
        workers.sort_by_key(|worker| {
            let rank = match worker.phase {
                Phase::Unscheduled { .. } | Phase::Failed => 0,
                Phase::Starting { .. } => 1,
                Phase::Idle { .. } => 2,
                Phase::Busy => 3,
            };
            (rank, std::cmp::Reverse(worker.created), worker.id.clone())
        });
        workers
    }
}
