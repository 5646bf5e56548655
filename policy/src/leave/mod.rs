//! Why a worker goes: never one that holds a lease. Each reason has a file that tells who goes for it.
use std::collections::BTreeSet;

use crate::{
    Action, Capacity, IdleMeter, Phase, Time, Why, Worker, WorkerId, action::Agenda, gap::Gap, idleness,
    known::Known, on_demand::kept_busy,
};

mod blames_pool;
mod broken;
mod failed;
mod idle;
mod no_machine;
mod not_needed;
mod on_demand_over;
mod outdated;
mod over_maximum;
mod paused;
mod rolled_out;
mod spare;
mod spot_is_back;
mod through;

/// Who goes for one reason, of one capacity.
type Reason = fn(&mut Leaving, Capacity);

/// In this order: what is broken or of no use goes whatever the work; then what is too much, the cheapest to lose first.
const REASONS: [Reason; 13] = [
    failed::leave,
    broken::leave,
    blames_pool::leave,
    outdated::leave,
    no_machine::leave,
    paused::leave,
    through::leave,
    over_maximum::leave,
    rolled_out::leave,
    not_needed::leave,
    idle::leave,
    on_demand_over::leave,
    spare::leave,
];

/// Lets go of workers of both capacities, on-demand first: how much spot is needed hangs on who is left to be replaced.
/// Those on demand that are busy go last, as spot that comes up is needed in their place.
pub(crate) fn leave(known: &Known, gap: &Gap, meter: &IdleMeter, agenda: &mut Agenda) {
    let mut leaving = Leaving { known, gap, meter, gone: BTreeSet::new(), agenda };
    for capacity in [Capacity::OnDemand, Capacity::Spot] {
        for reason in REASONS {
            reason(&mut leaving, capacity);
        }
    }
    spot_is_back::leave(&mut leaving, Capacity::OnDemand);
}

/// Workers that go, so far.
pub(crate) struct Leaving<'p, 'v, 'a> {
    known: &'p Known<'v, 'a>,
    gap: &'p Gap<'a>,
    meter: &'p IdleMeter,
    gone: BTreeSet<&'a WorkerId>,
    agenda: &'p mut Agenda,
}

impl<'a> Leaving<'_, '_, 'a> {
    fn retire(&mut self, worker: &'a Worker, why: Why) {
        if worker.phase != Phase::Busy && self.gone.insert(&worker.id) {
            self.agenda.add(Action::retire(&worker.id), why);
        }
    }

    /// Lets it finish what it holds.
    fn hold(&mut self, worker: &'a Worker, why: Why) {
        if self.gone.insert(&worker.id) {
            self.agenda.add(Action::hold(&worker.id), why);
        }
    }

    /// Some will go then, if nothing changes.
    fn later(&mut self, at: Time) {
        self.agenda.look_at(at);
    }

    /// Workers that take one of the fleet's places and stay, so far.
    fn staying(&self, capacity: Capacity) -> impl Iterator<Item = &'a Worker> {
        self.known.view.placed(capacity).filter(|worker| !self.gone.contains(&worker.id))
    }

    /// Idle workers that stay, so far; best to let go first.
    fn idle(&self, capacity: Capacity) -> Vec<&'a Worker> {
        let idle = idleness::idle(&self.known.view, capacity).into_iter();
        idle.filter(|worker| !self.gone.contains(&worker.id)).collect()
    }

    /// How many of those the waiting tasks leave idle.
    fn spare(&self, capacity: Capacity) -> usize {
        let idle = idleness::idle(&self.known.view, capacity);
        let gone = idle.iter().filter(|worker| self.gone.contains(&worker.id)).count();
        idleness::spare(&self.known.view, self.known.demand, capacity).saturating_sub(gone)
    }

    /// How many stay beyond the fleet's minimum, so far.
    fn over_minimum(&self, capacity: Capacity) -> usize {
        let claiming = self.staying(capacity).filter(|worker| worker.claims()).count();
        claiming.saturating_sub(self.known.view.min(capacity))
    }

    /// Likewise, of those that are up: who is yet to come up replaces nobody.
    fn up_over_minimum(&self, capacity: Capacity) -> usize {
        let up = self.staying(capacity).filter(|worker| worker.claims() && worker.is_up()).count();
        up.saturating_sub(self.known.view.min(capacity))
    }

    /// How many of those may go: not on-demand workers that spot does not replace yet.
    fn may_go(&self, capacity: Capacity) -> usize {
        let Known { view, demand, .. } = self.known;
        let stay = if capacity == Capacity::OnDemand { kept_busy(view, demand) } else { 0 };
        self.over_minimum(capacity).saturating_sub(stay)
    }

    /// Workers that stay, those that lose the least first: without a machine, coming up, idle, busy; among equals the
    /// youngest.
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
