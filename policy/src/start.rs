//! Workers that are missing are resumed or started, each in a zone and with a model.
use std::collections::BTreeMap;

use crate::{
    Action, Capacity, Why,
    action::Agenda,
    failures::Gate,
    gap::{Gap, Missing, resumable},
    known::Known,
    view::View,
};

/// If on-demand workers are missing, those on hold come first: they are here already. Says whether there were any.
pub(crate) fn resume(view: &View, gap: &Gap, agenda: &mut Agenda) -> bool {
    let held = view.workers.iter().filter(|worker| resumable(view, worker));
    let resumed: Vec<_> = held.filter(|_| gap.starts(Capacity::OnDemand) > 0).collect();
    for worker in &resumed {
        agenda.add(Action::resume(&worker.id), Why::NeededAgain);
    }
    !resumed.is_empty()
}

/// Starts what is missing now.
pub(crate) fn start(known: &Known, gap: &Gap, agenda: &mut Agenda) {
    for capacity in Capacity::ALL {
        if let Gate::ClosedUntil(time) = Gate::of(&known.view, capacity) {
            agenda.look_at(time);
        }
        let mut chosen = known.zones.choose(&known.view, capacity, gap.starts(capacity)).into_iter();
        for missing in gap.missing.iter().filter(|m| m.capacity == capacity) {
            if missing.after > 0.0 {
                agenda.look_at(known.view.at(missing.after));
            } else {
                start_some(missing, &mut chosen, agenda);
            }
        }
    }
}

/// One action per zone and model.
fn start_some(missing: &Missing, zones: &mut impl Iterator<Item = Option<String>>, agenda: &mut Agenda) {
    let mut groups: BTreeMap<(Option<String>, Option<&str>), u32> = BTreeMap::new();
    for (model, zone) in missing.models.iter().zip(zones) {
        *groups.entry((zone, *model)).or_default() += 1;
    }
    for ((zone, model), n) in groups {
        let (capacity, model) = (missing.capacity, model.map(str::to_owned));
        agenda.add(Action::Start { capacity, zone, n, model }, missing.why.clone());
    }
}
