//! Step 4: workers that are missing are resumed or started, each in a zone and with a model.
use std::collections::BTreeMap;

use crate::{
    Action, Capacity, Decision, Why,
    gap::{Gap, Missing, resumable},
    view::View,
    zones::Zones,
};

/// Fills the gap: workers on hold first, new ones for the rest.
pub(crate) fn fill(view: &View, gap: &Gap, zones: &Zones) -> Vec<Decision> {
    let mut held = view.workers().iter().filter(|worker| resumable(worker));
    let mut decisions = Vec::new();
    for missing in gap.missing.iter().filter(|missing| missing.after <= 0.0) {
        let resumed: Vec<_> = match missing.capacity {
            Capacity::OnDemand => held.by_ref().take(missing.models.len()).collect(),
            Capacity::Spot => Vec::new(),
        };
        decisions.extend(resumed.iter().map(|worker| Decision {
            action: Action::Resume { worker: worker.id.clone() },
            why: Why::NeededAgain,
        }));
        decisions.extend(start(view, missing, resumed.len(), zones, &decisions));
    }
    decisions
}

/// One action per zone and model.
fn start(
    view: &View,
    missing: &Missing,
    resumed: usize,
    zones: &Zones,
    before: &[Decision],
) -> Vec<Decision> {
    let models = &missing.models[resumed..];
    let already = before.iter().filter_map(|d| match &d.action {
        Action::Start { capacity, n, .. } if *capacity == missing.capacity => Some(*n as usize),
        _ => None,
    });
    let already: usize = already.sum();
    let chosen = zones.choose(view, missing.capacity, already + models.len());
    let mut groups: BTreeMap<(Option<String>, Option<&str>), u32> = BTreeMap::new();
    for (zone, model) in chosen.into_iter().skip(already).zip(models) {
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
