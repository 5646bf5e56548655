//! What a pool's owner wants, as the policy takes it. Pure.

use std::time::Duration;

use crds::{ClassCapacity, ClassSpec, Fleet, FleetType, WorkerPool, WorkerPoolSpec};
use policy::{CapacityRule, Class, Policy, Scaling};
use queue::{ClassSetting, Settings};

pub(crate) fn policy(pool: &WorkerPool) -> Policy {
    let spec = &pool.spec;
    Policy {
        classes: spec.classes.iter().map(|class| rule(class, spec)).collect(),
        spot: spec.fleet(FleetType::Spot).map(fleet),
        on_demand: spec.fleet(FleetType::OnDemand).map(fleet),
        scaling: Scaling {
            engine_start: Duration::from_secs(u64::from(spec.engine.startup_seconds)),
            ..scaling(&spec.scaling)
        },
        suspended: spec.suspend,
        template: String::new(),
    }
}

/// The same for the queue.
pub(crate) fn settings(pool: &WorkerPool) -> Settings {
    let setting = |class: &ClassSpec| {
        let class = rule(class, &pool.spec);
        let serves = policy::Capacity::ALL.iter().filter(|capacity| class.capacity.runs_on(**capacity));
        let capacities = serves.map(|capacity| capacity.label().to_owned()).collect();
        ClassSetting { name: class.name, sla: class.sla, capacities }
    };
    Settings { suspended: pool.spec.suspend, classes: pool.spec.classes.iter().map(setting).collect() }
}

fn rule(class: &ClassSpec, pool: &WorkerPoolSpec) -> Class {
    Class {
        name: class.name.clone(),
        sla: Duration::from_secs(u64::from(class.sla_seconds)),
        capacity: match class.capacity(pool) {
            ClassCapacity::Spot => CapacityRule::Spot,
            ClassCapacity::SpotThenOnDemand => CapacityRule::SpotThenOnDemand,
            ClassCapacity::OnDemand => CapacityRule::OnDemand,
        },
    }
}

fn fleet(fleet: &Fleet) -> policy::Fleet {
    let priced = |zone: &crds::Zone| Some((zone.name.clone(), zone.price_per_hour?.micros()));
    policy::Fleet {
        min: fleet.min,
        max: fleet.max,
        price_per_hour_micros: fleet.price_per_hour.micros(),
        zones: fleet.zones.iter().map(|zone| zone.name.clone()).collect(),
        zone_prices: fleet.zones.iter().filter_map(priced).collect(),
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
            "suspend": true,
            "scaling": {"idleSeconds": 30, "spotShortageSeconds": 90},
            "fleets": {"spot": {"min": 1, "zones": [{"name": "a", "pricePerHour": "0.80"}, {"name": "b"}]}},
        }}));
        let Policy { classes, spot, on_demand, scaling, suspended, template: _ } = policy(&pool);
        let on_demand = on_demand.unwrap();
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
        assert_eq!((spot.zones, suspended), (vec!["a".to_owned(), "b".to_owned()], true));
        assert_eq!(spot.zone_prices, [("a".to_owned(), 800_000)].into());
        assert_eq!((on_demand.max, on_demand.price_per_hour_micros), (4, 3_600_000));
        assert_eq!((scaling.idle_after.as_secs(), scaling.shortage_after.as_secs()), (30, 90));
    }
}
