//! What a pool's owner wants, as the policy takes it. Pure.

use std::{collections::BTreeMap, time::Duration};

use crds::{ClassCapacity, ClassSpec, Fleet, WorkerPool};
use policy::{CapacityRule, Class, Policy, Scaling};
use queue::{ClassSetting, Settings};

pub(crate) fn policy(pool: &WorkerPool) -> Policy {
    let spec = &pool.spec;
    Policy {
        classes: spec.classes.iter().map(class).collect(),
        spot: spec.capacity.spot.as_ref().map(fleet),
        on_demand: spec.capacity.on_demand.as_ref().map(fleet),
        scaling: Scaling {
            engine_start: Duration::from_secs(u64::from(spec.engine.startup_seconds)),
            ..scaling(&spec.scaling)
        },
        paused: spec.paused,
        template: String::new(),
    }
}

/// The same for the queue.
pub(crate) fn settings(pool: &WorkerPool) -> Settings {
    let setting = |spec: &ClassSpec| {
        let class = class(spec);
        let serves = policy::Capacity::ALL.iter().filter(|capacity| class.capacity.runs_on(**capacity));
        let capacities = serves.map(|capacity| capacity.label().to_owned()).collect();
        ClassSetting { name: class.name, sla: class.sla, capacities }
    };
    Settings { paused: pool.spec.paused, classes: pool.spec.classes.iter().map(setting).collect() }
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
        zone_prices: BTreeMap::new(),
    }
}

fn scaling(scaling: &crds::Scaling) -> Scaling {
    let crds::Scaling { idle_seconds, spot_shortage_seconds } = scaling;
    Scaling {
        idle_after: Duration::from_secs(u64::from(*idle_seconds)),
        shortage_after: Duration::from_secs(u64::from(*spot_shortage_seconds)),
        ..Scaling::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::pool_with;

    #[test]
    fn what_the_policy_is_told() {
        let pool = pool_with(json!({"spec": {
            "paused": true,
            "scaling": {"idleSeconds": 30, "spotShortageSeconds": 90},
            "capacity": {"spot": {"min": 1, "zones": ["a", "b"]}, "onDemand": null},
        }}));
        let Policy { classes, spot, on_demand, scaling, paused, template: _ } = policy(&pool);
        let rules: Vec<_> = classes.iter().map(|c| (c.name.as_str(), c.sla.as_secs(), c.capacity)).collect();
        assert_eq!(
            rules,
            [
                ("immediate", 30, CapacityRule::OnDemand),
                ("standard", 300, CapacityRule::SpotThenOnDemand),
                ("relaxed", 600, CapacityRule::Spot),
            ]
        );
        let spot = spot.unwrap();
        assert_eq!((spot.min, spot.max, spot.price_per_hour_micros), (1, 20, 900_000));
        assert_eq!((spot.zones, on_demand, paused), (vec!["a".to_owned(), "b".to_owned()], None, true));
        assert_eq!((scaling.idle_after.as_secs(), scaling.shortage_after.as_secs()), (30, 90));
    }
}
