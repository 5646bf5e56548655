//! What a pool's owner wants, as the policy takes it. Pure.

use std::time::Duration;

use crds::{ClassCapacity, ClassSpec, Fleet, WorkerPool};
use policy::{CapacityRule, Class, Policy, Scaling};

pub(crate) fn policy(pool: &WorkerPool) -> Policy {
    let spec = &pool.spec;
    Policy {
        classes: spec.classes.iter().map(class).collect(),
        spot: spec.capacity.spot.as_ref().map(fleet),
        on_demand: spec.capacity.on_demand.as_ref().map(fleet),
        scaling: scaling(&spec.scaling),
        paused: spec.paused,
    }
}

fn class(class: &ClassSpec) -> Class {
    let ClassSpec { name, sla_seconds, capacity, default: _ } = class;
    Class {
        name: name.clone(),
        sla: Duration::from_secs(u64::from(*sla_seconds)),
        capacity: match capacity {
            ClassCapacity::Spot => CapacityRule::Spot,
            ClassCapacity::SpotThenOnDemand => CapacityRule::SpotThenOnDemand,
            ClassCapacity::OnDemand => CapacityRule::OnDemand,
        },
    }
}

fn fleet(fleet: &Fleet) -> policy::Fleet {
    let Fleet { min, max, price_per_hour, node_selector: _, tolerations: _, zones } = fleet;
    policy::Fleet {
        min: *min,
        max: *max,
        price_per_hour_micros: price_per_hour.micros(),
        zones: zones.clone(),
    }
}

fn scaling(scaling: &crds::Scaling) -> Scaling {
    let crds::Scaling { idle_seconds, spot_shortage_seconds } = scaling;
    Scaling {
        idle_after: Duration::from_secs(u64::from(*idle_seconds)),
        spot_shortage_after: Duration::from_secs(u64::from(*spot_shortage_seconds)),
        ..Scaling::default()
    }
}
