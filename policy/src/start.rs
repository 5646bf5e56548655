//! Step 4: workers that are missing are resumed or started, each in a zone and with a model.
use std::collections::BTreeMap;

use crate::{
    Action, Capacity, Decision, Why,
    gap::{Gap, Missing, resumable},
    view::View,
    zones::Zones,
};

/// If on-demand workers are missing, those on hold come first: they are here already.
pub(crate) fn resume(view: &View, gap: &Gap) -> Vec<Decision> {
    if gap.starts(Capacity::OnDemand) == 0 {
        return Vec::new();
    }
    let held = view.workers.iter().filter(|worker| resumable(worker));
    held.map(|worker| Decision {
        action: Action::Resume { worker: worker.id.clone() },
        why: Why::NeededAgain,
    })
    .collect()
}

/// Starts what is missing now.
pub(crate) fn start(view: &View, gap: &Gap, zones: &Zones) -> Vec<Decision> {
    let mut decisions = Vec::new();
    for capacity in Capacity::ALL {
        let mut chosen = zones.choose(view, capacity, gap.starts(capacity)).into_iter();
        for missing in gap.missing.iter().filter(|m| m.capacity == capacity && m.after <= 0.0) {
            decisions.extend(start_some(view, missing, &mut chosen));
        }
    }
    decisions
}

/// One action per zone and model.
fn start_some(
    view: &View,
    missing: &Missing,
    zones: &mut impl Iterator<Item = Option<String>>,
) -> Vec<Decision> {
    let mut groups: BTreeMap<(Option<String>, Option<&str>), u32> = BTreeMap::new();
    for (model, zone) in missing.models.iter().zip(zones) {
        *groups.entry((zone, *model)).or_default() += 1;
    }
    groups
        .into_iter()
        .map(|((zone, model), n)| Decision {
            action: Action::Start {
                capacity: missing.capacity,
                zone,
                n,
                classes: view.policy.serves(missing.capacity),
                model: model.map(str::to_owned),
            },
            why: missing.why.clone(),
        })
        .collect()
}
