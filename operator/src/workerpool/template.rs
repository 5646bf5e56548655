//! What a pool's workers are made from, told by hashes: a worker whose hashes are others was made from another spec. Pure.

use crds::{Capacity, WorkerPool};
use k8s_openapi::api::core::v1::PodSpec;

use super::pod::{Given, Shape, parsed, pod_spec};

/// The rule by which [`Template`] is worked out. Workers made by another rule are not replaced for that alone, so that an
/// upgrade of the operator does not replace every fleet.
const TEMPLATE_VERSION: &str = "2";

/// What a pool's workers are made from, told by hashes of the Pods that would be made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    spot: Hashes,
    on_demand: Hashes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hashes {
    /// Of what runs in the Pod.
    runs: u64,
    /// Of all of it, also where it may run.
    whole: u64,
}

impl Template {
    pub(crate) fn of(pool: &WorkerPool, given: &Given) -> Self {
        let hashes = |capacity| Hashes::of(pool, capacity, given);
        Self { spot: hashes(Capacity::Spot), on_demand: hashes(Capacity::OnDemand) }
    }

    /// As the Pod's annotation says it.
    pub(crate) fn text(&self, capacity: Capacity) -> String {
        let Hashes { runs, whole } = self.hashes(capacity);
        format!("{TEMPLATE_VERSION}.{runs:016x}.{whole:016x}")
    }

    /// A name for what workers of both kinds are made of, whole.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.text(Capacity::Spot), self.text(Capacity::OnDemand))
    }

    /// Whether a worker would be made in the same way now.
    pub(crate) fn is_same(&self, capacity: Capacity, made_from: &str) -> bool {
        made_from == self.text(capacity)
    }

    /// Whether the same would run in a worker made now, wherever it may run.
    pub(crate) fn runs_the_same(&self, capacity: Capacity, made_from: &str) -> bool {
        let mut parts = made_from.split('.');
        match (parts.next(), parts.next()) {
            (Some(TEMPLATE_VERSION), Some(runs)) => runs == format!("{:016x}", self.hashes(capacity).runs),
            _ => true,
        }
    }

    const fn hashes(&self, capacity: Capacity) -> Hashes {
        match capacity {
            Capacity::Spot => self.spot,
            Capacity::OnDemand => self.on_demand,
        }
    }
}

impl Hashes {
    fn of(pool: &WorkerPool, capacity: Capacity, given: &Given) -> Self {
        // 16 bits show a change of the URL, and are too few to guess its password by.
        let url = fnv1a(given.queue.url.as_bytes()) & 0xffff;
        let shape = Shape { name: String::new(), capacity, zone: None, model: None };
        // Of a template that can't be used no worker is made, and none is replaced for it.
        let template = parsed(pool).unwrap_or_default();
        let spec = pod_spec(pool, &shape, given, template.spec.unwrap_or_default());
        let runs = PodSpec {
            node_selector: None,
            tolerations: None,
            affinity: None,
            topology_spread_constraints: None,
            scheduler_name: None,
            ..spec.clone()
        };
        // Serialising typed values does not fail; if it did, all workers would count as up to date.
        let text = |value: &PodSpec| serde_json::to_string(value).unwrap_or_default();
        let metadata = serde_json::to_string(&template.metadata).unwrap_or_default();
        Self {
            runs: fnv1a(format!("{}{url}", text(&runs)).as_bytes()),
            whole: fnv1a(format!("{}{url}{metadata}", text(&spec)).as_bytes()),
        }
    }
}

/// FNV-1a, 64 bits: the same in every process and version, which std's hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
