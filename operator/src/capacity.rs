//! The kinds of machine, as the API, the policy and the queue's results name them.

/// From the label in a queue's result. One we don't know is charged as on demand: rather too much than too
/// little.
pub(crate) fn from_label(label: &str) -> crds::Capacity {
    let known = policy::Capacity::ALL.into_iter().find(|capacity| capacity.label() == label);
    known.map_or(crds::Capacity::OnDemand, to_crd)
}

pub(crate) fn to_policy(capacity: crds::Capacity) -> policy::Capacity {
    match capacity {
        crds::Capacity::Spot => policy::Capacity::Spot,
        crds::Capacity::OnDemand => policy::Capacity::OnDemand,
    }
}

pub(crate) fn to_crd(capacity: policy::Capacity) -> crds::Capacity {
    match capacity {
        policy::Capacity::Spot => crds::Capacity::Spot,
        policy::Capacity::OnDemand => crds::Capacity::OnDemand,
    }
}
