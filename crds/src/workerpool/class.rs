use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{FleetType, WorkerPoolSpec};
use crate::{rules, schema};

/// A class of urgency.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClassSpec {
    /// The name that jobs use, e.g. `standard`.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = rules::dns_label())]
    pub name: String,
    /// The promise: every image of a job is made within so many seconds of the job's acceptance, 1 to 604800 (a week).
    #[schemars(range(min = 1, max = 604_800))]
    pub sla_seconds: u32,
    /// The names of the fleets that the class may use, in order of preference, 1 to 10. A later fleet is used where the
    /// earlier ones cannot keep the promise. For now: a spot fleet, an on-demand fleet, or a spot fleet and then an
    /// on-demand fleet.
    #[schemars(schema_with = "schema::fleet_names")]
    pub fleets: Vec<String>,
    /// True: jobs that name no class use this one. At most one class has it. Default: false.
    #[serde(default)]
    pub default: bool,
}

/// The machines a class may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassCapacity {
    /// Spot machines only.
    Spot,
    /// On-demand machines too where spot machines cannot keep the promise.
    SpotThenOnDemand,
    /// On-demand machines only.
    OnDemand,
}

impl ClassSpec {
    /// The machines that the class may use, by the types of its fleets. A fleet that the pool does not have or whose type
    /// is not known counts for nothing; a class without any fleet that counts is one of spot machines.
    #[must_use]
    pub fn capacity(&self, pool: &WorkerPoolSpec) -> ClassCapacity {
        let uses = |fleet_type| {
            let fleets = pool.fleets.iter().filter(|fleet| fleet.fleet_type == fleet_type);
            fleets.into_iter().any(|fleet| self.fleets.contains(&fleet.name))
        };
        match (uses(FleetType::Spot), uses(FleetType::OnDemand)) {
            (true, true) => ClassCapacity::SpotThenOnDemand,
            (false, true) => ClassCapacity::OnDemand,
            (_, false) => ClassCapacity::Spot,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pool(fleets: &[(&str, &str)], engine: &str) -> WorkerPoolSpec {
        let fleets: Value = fleets
            .iter()
            .map(|(name, kind)| json!({"name": name, "type": kind, "max": 1, "pricePerHour": "1"}))
            .collect();
        serde_json::from_value(json!({
            "engine": {"image": "a", "kind": engine},
            "fleets": fleets,
            "classes": [],
            "output": {"bucket": "images", "publicURL": "https://cdn.example.com"},
        }))
        .unwrap()
    }

    #[test]
    fn a_class_may_use_the_types_of_its_fleets() {
        let pool = pool(&[("cheap", "Spot"), ("sure", "OnDemand"), ("new", "Leased")], "ComfyUI");
        for (fleets, capacity) in [
            (vec!["cheap"], ClassCapacity::Spot),
            (vec!["sure"], ClassCapacity::OnDemand),
            (vec!["cheap", "sure"], ClassCapacity::SpotThenOnDemand),
            (vec!["new", "sure"], ClassCapacity::OnDemand),
            (vec!["new"], ClassCapacity::Spot),
            (vec!["gone"], ClassCapacity::Spot),
        ] {
            let class: ClassSpec =
                serde_json::from_value(json!({"name": "a", "slaSeconds": 1, "fleets": fleets})).unwrap();
            assert_eq!(class.capacity(&pool), capacity, "{fleets:?}");
        }
    }

    #[test]
    fn values_of_a_later_version_are_read_and_named() {
        let known = pool(&[("cheap", "Spot")], "ComfyUI");
        assert_eq!(known.unknown(), None);
        assert_eq!(known.fleet(FleetType::Spot).map(|fleet| fleet.speed.thousandths()), Some(1000));
        let fleet = pool(&[("cheap", "Spot"), ("new", "Leased")], "ComfyUI").unknown().unwrap();
        assert!(
            fleet.starts_with("spec.fleets[new].type is one that this operator does not know"),
            "{fleet}"
        );
        let engine = pool(&[("cheap", "Spot")], "Forge").unknown().unwrap();
        assert!(engine.starts_with("spec.engine.kind is one that this operator"), "{engine}");
    }
}
