//! The admission policies of `manifests/base/policies.yaml`, on a real API server.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Cluster, wait_for};

use crate::{
    objects::{config_map_job, graph_job, job, with},
    server::Server,
};

const DEADLINE: Duration = Duration::from_secs(60);
const OPERATOR: &str = "system:serviceaccount:imagejob-system:imagejob-operator";
const EXPORT: &str = "In ComfyUI, save the workflow with Workflow > Export (API)";

/// ComfyUI's own file, as its editor saves it.
fn editor_file() -> Value {
    json!({
        "id": "6f2b8d9e-3a52-4a57-9c5e-0f3b7a2d4c11",
        "revision": 0,
        "last_node_id": 9,
        "last_link_id": 9,
        "nodes": [{"id": 9, "type": "SaveImage", "pos": [300, 20], "widgets_values": ["out"]}],
        "links": [[1, 1, 0, 9, 0, "IMAGE"]],
        "groups": [],
        "config": {},
        "extra": {"ds": {"scale": 1}},
        "version": 0.4,
    })
}

/// The refusal as the user reads it.
async fn refusal(server: &Server, object: &Value) -> String {
    server.admit(object).await.expect_err("the API server let it pass")
}

#[tokio::test]
async fn what_is_no_workflow_is_refused_with_one_message() {
    let server = Server::get().await;
    let node = json!({"class_type": "SaveImage", "inputs": {"images": ["3", 0]}});
    let request_body = json!({"client_id": "a", "prompt": {"9": node}});
    for (what, graph) in [
        ("the editor's file", editor_file()),
        ("the body of a request to /prompt", request_body),
        ("a node that is a text", json!({"3": node, "9": "SaveImage"})),
        ("a node that is null", json!({"9": null})),
        ("a node without class_type", json!({"9": {"inputs": {}}})),
        ("a node with an empty class_type", json!({"9": {"class_type": ""}})),
        ("a node whose class_type is a number", json!({"9": {"class_type": 9}})),
        ("a node whose inputs are a list", json!({"9": {"class_type": "SaveImage", "inputs": []}})),
    ] {
        let refusal = refusal(&server, &with(graph_job(), "/spec/work/workflow/graph", &graph)).await;
        assert!(refusal.contains(EXPORT), "{what}: {refusal}");
        assert_eq!(refusal.matches("spec.work.workflow").count(), 1, "{what}: {refusal}");
        assert!(!refusal.contains("must be of type"), "{what}: {refusal}");
    }
}

#[tokio::test]
async fn odd_but_valid_workflows_pass() {
    let server = Server::get().await;
    let graph = json!({
        "57:3": {
            "class_type": "KSampler",
            "_meta": {"title": "KSampler – main ✨"},
            "is_changed": ["a1b2"],
            "inputs": {"seed": 9, "control_after_generate": "randomize", "model": ["4", 0]},
        },
        "57:6": {"class_type": "CLIPTextEncode", "inputs": {"text": "灯台 🌊", "extra": null, "loud": true}},
        "note-1": {"class_type": "PreviewImage"},
    });
    let job = with(graph_job(), "/spec/work/workflow/graph", &graph);
    let job = with(job, "/spec/work/workflow/inputs", &json!({"57:3.seed": i64::MAX, "57:6.text": "x"}));
    let kept = server.admit(&job).await.unwrap();
    assert_eq!(kept["spec"]["work"]["workflow"], job["spec"]["work"]["workflow"]);
    server.admit(&config_map_job()).await.unwrap();
}

#[tokio::test]
async fn a_seed_that_the_api_server_rounds_is_refused() {
    let server = Server::get().await;
    let exact = 9_223_372_036_854_775_807_u64;
    for pointer in [
        "/spec/work/workflow/graph/3/inputs/seed",
        "/spec/work/workflow/graph/3/inputs/noise_seed",
        "/spec/work/workflow/inputs/3.seed",
        "/spec/work/workflow/inputs/3.noise_seed",
    ] {
        let with_seed = |seed: u64| with(graph_job(), pointer, &json!(seed));
        let kept = server.admit(&with_seed(exact)).await.unwrap();
        assert_eq!(kept.pointer(pointer), Some(&json!(exact)));
        for seed in [exact + 1, 15_555_555_555_555_555_890, u64::MAX] {
            let refusal = refusal(&server, &with_seed(seed)).await;
            assert!(refusal.contains("above 9223372036854775807 (2^63 - 1)"), "{pointer}: {refusal}");
            assert!(
                refusal.contains("in quotes, as seeds up to 18446744073709551615 may be"),
                "{pointer}: {refusal}"
            );
        }
    }
    // What no seed is, no rounding spoils.
    server.admit(&with(graph_job(), "/spec/work/workflow/graph/3/inputs/cfg", &json!(1e30))).await.unwrap();
}

#[tokio::test]
async fn a_workflow_has_a_bounded_number_of_inputs() {
    let server = Server::get().await;
    let node = |inputs: usize| -> Value {
        let inputs: Value = (0..inputs).map(|i| (format!("i{i}"), json!(i))).collect();
        json!({"class_type": "Switch", "inputs": inputs})
    };
    let graph = |nodes: usize, last: usize| -> Value {
        let nodes = (0..nodes).map(|id| (id.to_string(), node(20)));
        nodes.chain([("last".to_owned(), node(last))]).collect()
    };
    let with_graph = |graph: Value| with(graph_job(), "/spec/work/workflow", &json!({"graph": graph}));
    server.admit(&with_graph(graph(499, 20))).await.unwrap();
    let refusal = refusal(&server, &with_graph(graph(499, 21))).await;
    assert!(refusal.contains("the nodes have more than 10000 inputs together"), "{refusal}");
}

/// As large as the queue takes, and as many inputs as are allowed: cancel must still be possible.
#[tokio::test]
async fn a_large_workflow_is_fixed_and_its_job_can_be_cancelled() {
    let server = Server::get().await;
    let text = "a ".repeat(1_000);
    let node = |id: usize| {
        let inputs: Value = (0..20).map(|i| (format!("i{i}"), json!(i))).collect();
        let node = json!({"class_type": "Switch", "inputs": inputs});
        (format!("n{id}"), with(node, "/inputs/text", &json!(text)))
    };
    let mut graph: Value = (0..470).map(node).collect();
    let large = with(graph_job(), "/spec/work/workflow", &json!({"graph": graph}));
    let made = server.create(&with(large, "/metadata/name", &json!("large"))).await;
    server.admit_change(&with(made.clone(), "/spec/cancel", &json!(true))).await.unwrap();

    let renamed = graph.as_object_mut().unwrap();
    let moved = renamed.remove("n0").unwrap();
    renamed.insert("other".to_owned(), moved);
    let changed = with(made, "/spec/work/workflow/graph", &graph);
    let refusal = server.admit_change(&changed).await.unwrap_err();
    assert!(refusal.contains("work cannot be changed; create a new job"), "{refusal}");
}

#[tokio::test]
async fn a_jobs_tenant_is_its_namespace_unless_the_namespace_says_otherwise() {
    let server = Server::get().await;
    let kubectl = |args: &[&str]| server.cluster.kubectl(args);
    for namespace in ["team-a", "agency"] {
        kubectl(&["create", "namespace", namespace]).unwrap();
    }
    kubectl(&["label", "namespace", "agency", "imagejob.dev/tenancy=field"]).unwrap();
    let create = |namespace: &str, tenant: &str| {
        let named = with(job(), "/spec/tenant", &json!(tenant));
        let named = with(named, "/metadata/namespace", &json!(namespace));
        apply(&server.cluster, &named, &["create", "--dry-run=server"])
    };
    create("team-a", "team-a").unwrap();
    let refusal = create("team-a", "acme").unwrap_err();
    assert!(refusal.contains("a job in namespace team-a has the tenant team-a"), "{refusal}");
    // The label may take a moment to reach the admission plugin.
    wait_for("a job of the agency to name a tenant", DEADLINE, async || create("agency", "acme").ok())
        .await
        .unwrap();
    // Whoever may create jobs need not be one who may act for tenants.
    kubectl(&["create", "clusterrole", "makes-jobs", "--verb=create", "--resource=imagejobs.imagejob.dev"])
        .unwrap();
    kubectl(&["create", "rolebinding", "maker", "--clusterrole=makes-jobs", "--user=maker", "-n", "agency"])
        .unwrap();
    let as_maker = |tenant: &str| {
        let named = with(job(), "/spec/tenant", &json!(tenant));
        let named = with(named, "/metadata/namespace", &json!("agency"));
        apply(&server.cluster, &named, &["create", "--dry-run=server", "--as=maker"])
    };
    wait_for("the maker's right", DEADLINE, async || as_maker("agency").ok()).await.unwrap();
    let refusal = as_maker("acme").unwrap_err();
    assert!(refusal.contains("maker may not name the tenant acme"), "{refusal}");
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "acts-for-acme", "namespace": "agency"},
        "rules": [{"apiGroups": ["imagejob.dev"], "resources": ["imagetenants"], "resourceNames": ["acme"], "verbs": ["use"]}],
    });
    apply(&server.cluster, &role, &["create"]).unwrap();
    kubectl(&["create", "rolebinding", "acts", "--role=acts-for-acme", "--user=maker", "-n", "agency"])
        .unwrap();
    wait_for("the maker to name its tenant", DEADLINE, async || as_maker("acme").ok()).await.unwrap();
    as_maker("other").unwrap_err();
}

/// Runs a kubectl command on an object.
fn apply(cluster: &Cluster, object: &Value, command: &[&str]) -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), object.to_string()).unwrap();
    let args = command.iter().copied().chain(["-f", file.path().to_str().unwrap()]);
    cluster.kubectl(args).map_err(|error| error.to_string())
}

fn worker_pod(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "sd15-spot-1",
            "namespace": namespace,
            "labels": {"imagejob.dev/pool": "sd15"},
            "ownerReferences": [{
                "apiVersion": "imagejob.dev/v1alpha1",
                "kind": "WorkerPool",
                "name": "sd15",
                "uid": "e0e0e0e0-0000-0000-0000-000000000000",
                "controller": true,
            }],
        },
        "spec": {"containers": [{"name": "engine", "image": "comfyui"}]},
    })
}

#[tokio::test]
async fn the_operator_writes_only_what_belongs_to_a_pool() {
    let server = Server::get().await;
    let namespace = "writes";
    server.cluster.kubectl(["create", "namespace", namespace]).unwrap();
    server
        .cluster
        .kubectl(["apply", "-k", &format!("{}/../manifests/base", env!("CARGO_MANIFEST_DIR"))])
        .unwrap();
    let create =
        |object: &Value| apply(&server.cluster, object, &["create", "--dry-run=server", "--as", OPERATOR]);

    let pod = worker_pod(namespace);
    wait_for("the operator to be allowed to create Pods", DEADLINE, async || create(&pod).ok())
        .await
        .unwrap();
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": with(pod["metadata"].clone(), "/name", &json!("imagejob-sd15")),
        "stringData": {"url": "redis://redis"},
    });
    create(&secret).unwrap();
    let mut memory = secret.clone();
    (memory["kind"], memory["data"]) = (json!("ConfigMap"), json!({"memory": "{}"}));
    memory.as_object_mut().unwrap().remove("stringData");
    create(&memory).unwrap();
    for object in [&pod, &secret, &memory] {
        for (pointer, value, says) in [
            ("/metadata/labels", Value::Null, "only objects with the label imagejob.dev/pool"),
            ("/metadata/ownerReferences", Value::Null, "only objects that a WorkerPool owns"),
            ("/metadata/ownerReferences/0/kind", json!("Deployment"), "only objects that a WorkerPool owns"),
            (
                "/metadata/ownerReferences/0/apiVersion",
                json!("apps/v1"),
                "only objects that a WorkerPool owns",
            ),
            ("/metadata/ownerReferences/0/controller", json!(false), "only objects that a WorkerPool owns"),
        ] {
            let refusal = create(&with(object.clone(), pointer, &value)).unwrap_err();
            assert!(refusal.contains(says), "{pointer}: {refusal}");
        }
    }
    for object in [&secret, &memory] {
        let refusal = create(&with(object.clone(), "/metadata/name", &json!("orders-queue"))).unwrap_err();
        assert!(refusal.contains("whose names begin with imagejob-"), "{refusal}");
    }
    // Neither does it make somebody else's Secret its own, nor delete somebody else's Pod.
    let foreign = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "imagejob-sd15", "namespace": namespace},
        "stringData": {"url": "postgres://orders"},
    });
    apply(&server.cluster, &foreign, &["create"]).unwrap();
    let take = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=imagejob-operator",
        "--as",
        OPERATOR,
    ];
    let refusal = apply(&server.cluster, &secret, &take).unwrap_err();
    assert!(refusal.contains("only objects"), "{refusal}");
    let delete = |object: &Value| {
        apply(&server.cluster, object, &["create"]).unwrap();
        apply(&server.cluster, object, &["delete", "--wait=false", "--as", OPERATOR])
    };
    // A worker that its pool left behind goes.
    let left = with(pod, "/metadata/ownerReferences", &Value::Null);
    delete(&with(left.clone(), "/metadata/name", &json!("left"))).unwrap();
    let refusal = delete(&with(left, "/metadata/labels", &Value::Null)).unwrap_err();
    assert!(refusal.contains("only objects"), "{refusal}");
}
