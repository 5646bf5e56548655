//! Resumes or starts the missing workers, each in a zone and with a model.
use std::collections::BTreeMap;

use crate::{
    Action, Capacity, Why,
    action::Agenda,
    failures::Gate,
    gap::{Gap, Missing, is_resumable},
    situation::Situation,
    view::View,
};

/// Resumes held on-demand workers if on-demand workers are missing, since they have a machine already. Returns whether
/// it resumed any.
pub(crate) fn resume(view: &View, gap: &Gap, agenda: &mut Agenda) -> bool {
    let held = view.workers.iter().filter(|worker| is_resumable(view, worker));
    let resumed: Vec<_> = held.filter(|_| gap.starts_now(Capacity::OnDemand) > 0).collect();
    for worker in &resumed {
        agenda.add(Action::resume(&worker.id), Why::NeededAgain);
    }
    !resumed.is_empty()
}

/// Starts the workers that are missing now.
pub(crate) fn start(situation: &Situation, gap: &Gap, agenda: &mut Agenda) {
    for capacity in Capacity::ALL {
        if let Gate::ClosedUntil(time) = Gate::of(&situation.view, capacity) {
            agenda.look_again_at(time);
        }
        let mut chosen =
            situation.zones.choose(&situation.view, capacity, gap.starts_now(capacity)).into_iter();
        for missing in gap.missing.iter().filter(|m| m.capacity == capacity) {
            if missing.after > 0.0 {
                agenda.look_again_at(situation.view.time_in(missing.after));
            } else {
                start_group(missing, &mut chosen, agenda);
            }
        }
    }
}

/// Starts workers with one action per zone and model.
fn start_group(missing: &Missing, zones: &mut impl Iterator<Item = Option<String>>, agenda: &mut Agenda) {
    let mut groups: BTreeMap<(Option<String>, Option<&str>), u32> = BTreeMap::new();
    for (model, zone) in missing.models.iter().zip(zones) {
        *groups.entry((zone, *model)).or_default() += 1;
    }
    for ((zone, model), n) in groups {
        let (capacity, model) = (missing.capacity, model.map(str::to_owned));
        agenda.add(Action::Start { capacity, zone, n, model }, missing.why.clone());
    }
}
