//! The manifests, applied to a real API server with Pod Security "restricted" enforced.

use std::time::Duration;

use testkit::{Cluster, wait_for};

use crate::server::Server;

/// Controllers need a moment; a loaded machine more than that.
const DEADLINE: Duration = Duration::from_secs(60);

fn folder(name: &str) -> String {
    format!("{}/../manifests/{name}", env!("CARGO_MANIFEST_DIR"))
}

async fn wait_for_pods(cluster: &Cluster, app: &str, count: usize) {
    let selector = format!("app.kubernetes.io/name={app}");
    wait_for(&format!("{count} Pods of {app}"), DEADLINE, async || {
        let pods =
            cluster.kubectl(["get", "pods", "-n", "imagejob-system", "-o", "name", "-l", &selector]).unwrap();
        (pods.lines().count() == count).then_some(())
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

    // Pods that Pod Security refuses are never created; there is no node for these, so they stay pending.
    wait_for_pods(&cluster, "imagejob-operator", 2).await;
    wait_for_pods(&cluster, "imagejob-redis", 1).await;
    let made = cluster.kubectl(["get", "imaging", "-n", "studio", "-o", "name"]).unwrap();
    assert_eq!(
        made.lines().collect::<Vec<_>>(),
        [
            "imagejob.imagejob.dev/harbour",
            "imagejob.imagejob.dev/lighthouse",
            "imagejob.imagejob.dev/portraits",
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
        ("watch", "workerpools", "studio"),
        ("patch", "workerpools/status", "studio"),
        ("create", "pods", "studio"),
        ("patch", "pods", "studio"),
        ("delete", "pods", "studio"),
        ("watch", "nodes", ""),
        ("watch", "events", "default"),
        ("get", "configmaps", "studio"),
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
        ("list", "secrets", "studio"),
        ("delete", "secrets", "studio"),
        ("patch", "nodes", ""),
        ("patch", "leases", "studio"),
        ("escalate", "clusterroles", ""),
    ] {
        assert!(!may(&cluster, operator, verb, resource, namespace), "may {verb} {resource}");
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
