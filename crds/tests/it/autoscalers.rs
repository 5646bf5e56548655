//! `manifests/autoscalers`: what pools ask for and what the machines there offer fit together.

use std::{fs, path::Path};

use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use testkit::Cluster;

use crate::server::Server;

/// Those whose machines are made by a script, which no test reads, are only checked for what the API takes.
const SCRIPTED: [&str; 2] = ["gke", "aks"];
const DECLARED: [&str; 3] = ["karpenter-aws", "karpenter-azure", "cluster-autoscaler-eks"];

/// A type of machine that an autoscaler offers.
struct Machine {
    labels: Map<String, Value>,
    taints: Vec<Value>,
}

impl Machine {
    fn fits(&self, fleet: &Value) -> bool {
        let wanted = fleet["nodeSelector"].as_object().unwrap();
        let tolerated = |taint: &Value| {
            list(&fleet["tolerations"]).iter().any(|toleration| toleration["key"] == taint["key"])
        };
        wanted.iter().all(|(name, value)| self.labels.get(name) == Some(value))
            && self.taints.iter().all(tolerated)
    }
}

#[tokio::test]
async fn pools_fit_the_machines_of_each_autoscaler() {
    let server = Server::get().await;
    for component in DECLARED.into_iter().chain(SCRIPTED) {
        let mut pool = pool_with(&server.cluster, component);
        pool["metadata"]["namespace"] = "default".into();
        server.admit(&pool).await.unwrap_or_else(|refusal| panic!("{component}: {refusal}"));
        let machines = DECLARED.contains(&component).then(|| machines(component));
        for fleet in list(&pool["spec"]["fleets"]) {
            let fitting = machines.iter().flatten().filter(|machine| machine.fits(&fleet)).count();
            assert!(machines.is_none() || fitting > 0, "{component} has no machine for {}", fleet["name"]);
            let blanket = list(&fleet["tolerations"]).iter().any(|toleration| toleration["key"].is_null());
            assert!(!blanket, "{component} tolerates everything");
        }
    }
}

/// With `terminationGracePeriod` Karpenter takes machines of busy workers when they drift, whatever the workers say, and
/// an alias `@latest` makes every machine drift at each release.
#[test]
fn karpenter_leaves_busy_workers_alone() {
    for component in ["karpenter-aws", "karpenter-azure"] {
        for object in nodes(component) {
            let kind = object["kind"].as_str().unwrap();
            let spec = &object["spec"];
            if kind == "NodePool" {
                assert!(spec["template"]["spec"]["terminationGracePeriod"].is_null(), "{component}");
                let budgets = list(&spec["disruption"]["budgets"]);
                let drifted = |budget: &&Value| list(&budget["reasons"]).contains(&"Drifted".into());
                let drift: Vec<_> = budgets.iter().filter(drifted).collect();
                assert!(drift.iter().any(|budget| budget["nodes"] == "0"), "{component}: {drift:?}");
            }
            for term in list(&spec["amiSelectorTerms"]) {
                let alias = term["alias"].as_str().unwrap();
                assert!(alias.contains("@v"), "{component}: {alias} is not pinned");
            }
        }
    }
}

/// The example's pool, with the component on it.
fn pool_with(cluster: &Cluster, component: &str) -> Value {
    let overlay = tempfile::tempdir().unwrap();
    let place = overlay.path().canonicalize().unwrap();
    // Kustomize takes no absolute paths.
    let up = "../".repeat(place.components().count() - 1);
    let manifests = format!("{up}{}", manifests().strip_prefix('/').unwrap());
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [format!("{manifests}/overlays/example")],
        "components": [format!("{manifests}/autoscalers/{component}")],
    });
    fs::write(place.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    let rendered = cluster.kubectl(["kustomize", place.to_str().unwrap()]).unwrap();
    documents(&rendered).into_iter().find(|object| object["kind"] == "WorkerPool").unwrap()
}

/// What `nodes.yaml` of an autoscaler declares.
fn nodes(component: &str) -> Vec<Value> {
    let file = format!("{}/autoscalers/{component}/nodes.yaml", manifests());
    documents(&fs::read_to_string(file).unwrap())
}

fn machines(component: &str) -> Vec<Machine> {
    let objects = nodes(component);
    let of_object = |object: &Value| match object["kind"].as_str() {
        Some("NodePool") => vec![node_pool(object)],
        Some("ClusterConfig") => list(&object["managedNodeGroups"]).iter().map(node_group).collect(),
        _ => vec![],
    };
    objects.iter().flat_map(of_object).collect()
}

/// Karpenter's.
fn node_pool(object: &Value) -> Machine {
    let spec = &object["spec"]["template"]["spec"];
    let required = |requirement: &Value| {
        (requirement["key"].as_str().unwrap().to_owned(), requirement["values"][0].clone())
    };
    let mut labels: Map<_, _> = list(&spec["requirements"]).iter().map(required).collect();
    labels.insert("karpenter.sh/nodepool".to_owned(), object["metadata"]["name"].clone());
    Machine { labels, taints: list(&spec["taints"]) }
}

/// eksctl's.
fn node_group(group: &Value) -> Machine {
    let capacity = if group["spot"] == true { "SPOT" } else { "ON_DEMAND" };
    let mut labels = group["labels"].as_object().cloned().unwrap_or_default();
    labels.insert("eks.amazonaws.com/capacityType".to_owned(), capacity.into());
    Machine { labels, taints: list(&group["taints"]) }
}

fn manifests() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
    folder.canonicalize().unwrap().display().to_string()
}

pub(crate) fn documents(yaml: &str) -> Vec<Value> {
    let each = serde_yaml_ng::Deserializer::from_str(yaml);
    each.map(|document| Value::deserialize(document).unwrap()).collect()
}

pub(crate) fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}
