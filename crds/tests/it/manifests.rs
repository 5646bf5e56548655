//! The manifests, applied to a real API server with Pod Security "restricted" enforced.

use std::time::Duration;

use serde_json::Value;
use testkit::{Cluster, wait_for};

use crate::{
    autoscalers::{documents, list},
    server::Server,
};

/// Controllers need a moment; a loaded machine more than that.
const DEADLINE: Duration = Duration::from_secs(60);

fn folder(name: &str) -> String {
    format!("{}/../manifests/{name}", env!("CARGO_MANIFEST_DIR"))
}

async fn wait_for_pods(cluster: &Cluster, app: &str, count: usize) {
    let selector = format!("app.kubernetes.io/name={app}");
    wait_for(&format!("at least {count} Pods of {app}"), DEADLINE, async || {
        let pods =
            cluster.kubectl(["get", "pods", "-n", "imagejob-system", "-o", "name", "-l", &selector]).unwrap();
        (pods.lines().count() >= count).then_some(())
    })
    .await
    .unwrap();
}

async fn wait_for_right(cluster: &Cluster, who: &str, verb: &str, resource: &str) {
    wait_for(&format!("{who} to be allowed to {verb} {resource}"), DEADLINE, async || {
        may(cluster, who, verb, resource, "studio").then_some(())
    })
    .await
    .unwrap();
}

fn may(cluster: &Cluster, who: &str, verb: &str, resource: &str, namespace: &str) -> bool {
    let (resource, part) = resource.split_once('/').unwrap_or((resource, ""));
    let part = format!("--subresource={part}");
    cluster.kubectl(["auth", "can-i", verb, resource, &part, "--as", who, "-n", namespace, "-q"]).is_ok()
}

#[tokio::test]
async fn everything_is_accepted_and_its_pods_pass_pod_security() {
    let cluster = Server::get().await.cluster;
    cluster.kubectl(["apply", "-k", &folder("base")]).unwrap();
    cluster.kubectl(["apply", "-k", &folder("overlays/with-redis")]).unwrap();
    cluster.kubectl(["apply", "-k", &folder("overlays/example")]).unwrap();

    // Pods that Pod Security refuses are never created. There is no node for these, so they stay pending, those of the
    // operator before and after the overlay changed it.
    wait_for_pods(&cluster, "imagejob-operator", 2).await;
    wait_for_pods(&cluster, "imagejob-redis", 1).await;
    let made = cluster.kubectl(["get", "imaging", "-n", "studio", "-o", "name"]).unwrap();
    assert_eq!(
        made.lines().collect::<Vec<_>>(),
        [
            "imagejob.imagejob.dev/harbour",
            "imagejob.imagejob.dev/lighthouse",
            "imagejob.imagejob.dev/lighthouse-winter",
            "imagejob.imagejob.dev/portraits",
            "imagejob.imagejob.dev/postcards",
            "imagejob.imagejob.dev/thumbnails",
            "imagerecipe.imagejob.dev/postcard",
            "workerpool.imagejob.dev/sd15",
        ]
    );
}

#[tokio::test]
async fn the_operator_may_do_its_work_and_no_more() {
    let cluster = Server::get().await.cluster;
    cluster.kubectl(["apply", "-k", &folder("base")]).unwrap();
    let operator = "system:serviceaccount:imagejob-system:imagejob-operator";
    for (verb, resource, namespace) in [
        ("watch", "imagejobs", "studio"),
        ("patch", "imagejobs/status", "studio"),
        ("delete", "imagejobs", "studio"),
        ("get", "workerpools", "studio"),
        ("watch", "workerpools", "studio"),
        ("patch", "workerpools/status", "studio"),
        ("create", "pods", "studio"),
        ("patch", "pods", "studio"),
        ("delete", "pods", "studio"),
        ("watch", "nodes", ""),
        ("watch", "events", "default"),
        ("get", "imagejobs", "studio"),
        ("get", "configmaps", "studio"),
        ("patch", "configmaps", "studio"),
        ("patch", "secrets", "studio"),
        ("create", "events", "studio"),
        ("patch", "leases", "imagejob-system"),
    ] {
        assert!(may(&cluster, operator, verb, resource, namespace), "may not {verb} {resource}");
    }
    for (verb, resource, namespace) in [
        ("create", "imagejobs", "studio"),
        ("patch", "imagejobs", "studio"),
        ("patch", "workerpools", "studio"),
        ("create", "pods/exec", "studio"),
        ("get", "secrets", "studio"),
        ("list", "secrets", "studio"),
        ("delete", "secrets", "studio"),
        ("list", "configmaps", "studio"),
        ("delete", "configmaps", "studio"),
        ("patch", "nodes", ""),
        ("patch", "leases", "studio"),
        ("escalate", "clusterroles", ""),
    ] {
        assert!(!may(&cluster, operator, verb, resource, namespace), "may {verb} {resource}");
    }
}

#[tokio::test]
async fn the_api_server_may_do_its_work_and_no_more() {
    let cluster = Server::get().await.cluster;
    cluster.kubectl(["apply", "-k", &folder("base")]).unwrap();
    cluster.kubectl(["apply", "-k", &folder("api-server")]).unwrap();
    let api_server = "system:serviceaccount:imagejob-system:imagejob-api";
    for (verb, resource, namespace) in [
        ("create", "imagejobs", "studio"),
        ("patch", "imagejobs", "studio"),
        ("watch", "workerpools", "studio"),
        ("list", "imagerecipes", "studio"),
        ("use", "imagetenants", "studio"),
        ("watch", "imagetenants", "imagejob-system"),
        ("watch", "secrets", "imagejob-system"),
        ("create", "secrets", "imagejob-system"),
    ] {
        assert!(may(&cluster, api_server, verb, resource, namespace), "may not {verb} {resource}");
    }
    for (verb, resource, namespace) in [
        ("patch", "imagejobs/status", "studio"),
        ("patch", "workerpools", "studio"),
        ("create", "imagetenants", "imagejob-system"),
        ("get", "secrets", "studio"),
        ("list", "secrets", "studio"),
        ("create", "pods", "studio"),
        ("get", "configmaps", "studio"),
    ] {
        assert!(!may(&cluster, api_server, verb, resource, namespace), "may {verb} {resource}");
    }
}

#[tokio::test]
async fn viewers_see_editors_make_jobs_and_admins_make_pools() {
    let cluster = Server::get().await.cluster;
    cluster.kubectl(["apply", "-k", &folder("base")]).unwrap();
    cluster.kubectl(["apply", "-f", &format!("{}/namespace.yaml", folder("overlays/example"))]).unwrap();
    for role in ["view", "edit", "admin"] {
        let (name, user) = (format!("{role}-test"), format!("--user={role}"));
        let role = format!("--clusterrole={role}");
        cluster.kubectl(["create", "rolebinding", &name, &role, &user, "-n", "studio"]).unwrap();
    }
    wait_for_right(&cluster, "view", "watch", "workerpools").await;
    wait_for_right(&cluster, "edit", "create", "imagejobs").await;
    wait_for_right(&cluster, "admin", "delete", "workerpools").await;
    assert!(!may(&cluster, "view", "create", "imagejobs", "studio"));
    assert!(!may(&cluster, "edit", "create", "workerpools", "studio"));
    assert!(!may(&cluster, "edit", "patch", "imagejobs/status", "studio"));
    assert!(!may(&cluster, "admin", "patch", "workerpools/status", "studio"));
}

#[tokio::test]
async fn no_role_has_a_wildcard() {
    let cluster = Server::get().await.cluster;
    let rendered = cluster.kubectl(["kustomize", &folder("base")]).unwrap();
    let wild: Vec<_> =
        rendered.lines().filter(|line| matches!(line.trim(), "- '*'" | "- \"*\"" | "- *")).collect();
    assert!(rendered.contains("kind: ClusterRole") && wild.is_empty(), "{wild:?}");
}

/// The objects of a folder as kustomize renders them.
fn rendered(cluster: &Cluster, name: &str) -> Vec<Value> {
    documents(&cluster.kubectl(["kustomize", &folder(name)]).unwrap())
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[tokio::test]
async fn what_the_system_runs_on_is_not_moved_at_will() {
    let cluster = Server::get().await.cluster;
    let objects = rendered(&cluster, "overlays/with-redis");
    for (kind, name) in [("Deployment", "imagejob-operator"), ("StatefulSet", "imagejob-redis")] {
        let pod = &find(&objects, kind, name)["spec"]["template"];
        let class = pod["spec"]["priorityClassName"].as_str().unwrap();
        find(&objects, "PriorityClass", class);
        for container in list(&pod["spec"]["containers"]) {
            assert!(container["resources"]["requests"]["ephemeral-storage"].is_string(), "{name}");
        }
    }
    let redis = find(&objects, "StatefulSet", "imagejob-redis");
    let annotations = &redis["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["karpenter.sh/do-not-disrupt"], "true");
    assert_eq!(annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"], "false");
}

#[tokio::test]
async fn the_redis_to_try_has_a_password_and_lets_in_the_operator_and_labelled_namespaces() {
    let cluster = Server::get().await.cluster;
    let objects = rendered(&cluster, "overlays/with-redis");
    assert!(
        !objects.iter().any(|object| object["kind"] == "Secret"),
        "a password in the manifests is no secret"
    );
    let redis = find(&objects, "StatefulSet", "imagejob-redis");
    let container = &redis["spec"]["template"]["spec"]["containers"][0];
    let args = list(&container["args"]);
    let flag = args.iter().position(|arg| arg == "--requirepass").unwrap();
    assert_eq!(args[flag + 1], "$(REDIS_PASSWORD)");

    // The URL can name the password only if the password comes before it.
    let operator = find(&objects, "Deployment", "imagejob-operator");
    let env = list(&operator["spec"]["template"]["spec"]["containers"][0]["env"]);
    let at = |name: &str| env.iter().position(|variable| variable["name"] == name).unwrap();
    assert!(at("REDIS_PASSWORD") < at("REDIS_URL"), "{env:?}");
    assert!(env[at("REDIS_URL")]["value"].as_str().unwrap().contains(":$(REDIS_PASSWORD)@"), "{env:?}");
    assert!(env[at("REDIS_URL")]["valueFrom"].is_null(), "{env:?}");

    let policy = find(&objects, "NetworkPolicy", "imagejob-redis");
    let peers = list(&policy["spec"]["ingress"][0]["from"]);
    for peer in &peers {
        let namespaces = &peer["namespaceSelector"];
        let labelled = namespaces["matchLabels"]["imagejob.dev/workers"] == "allowed";
        assert!(namespaces.is_null() || labelled, "{peer}");
        assert!(peer["podSelector"]["matchLabels"].is_object(), "{peer}");
    }
    let example = rendered(&cluster, "overlays/example");
    let labels = &find(&example, "Namespace", "studio")["metadata"]["labels"];
    assert_eq!(labels["imagejob.dev/workers"], "allowed");
}

#[tokio::test]
async fn workers_of_the_example_reach_no_private_address_but_the_queue() {
    let cluster = Server::get().await.cluster;
    let objects = rendered(&cluster, "overlays/example");
    let policy = find(&objects, "NetworkPolicy", "imagejob-workers");
    assert_eq!(list(&policy["spec"]["policyTypes"]), ["Ingress", "Egress"]);
    let peers = list(&policy["spec"]["egress"]).iter().flat_map(|rule| list(&rule["to"])).collect::<Vec<_>>();
    let (blocks, pods): (Vec<&Value>, Vec<&Value>) =
        peers.iter().partition(|peer| peer["ipBlock"].is_object());
    for peer in pods {
        assert!(peer["namespaceSelector"]["matchLabels"].is_object(), "{peer}");
        assert!(peer["podSelector"]["matchLabels"].is_object(), "{peer}");
    }
    for block in blocks {
        let except = list(&block["ipBlock"]["except"]);
        let closed: &[&str] = match block["ipBlock"]["cidr"].as_str().unwrap() {
            "0.0.0.0/0" => {
                &["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"]
            }
            "::/0" => &["fc00::/7", "fe80::/10"],
            other => panic!("{other}"),
        };
        for cidr in closed {
            assert!(except.contains(&(*cidr).into()), "{cidr} is open");
        }
    }
}
