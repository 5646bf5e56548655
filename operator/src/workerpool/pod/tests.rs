use queue::Tls;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::pool_with;

fn given_with(worker_image: &str, url: &str, tls: Tls) -> Given {
    let queue = QueueAddress { url: url.to_owned(), tls };
    Given { worker_image: worker_image.into(), queue: Arc::new(queue) }
}

fn given() -> Given {
    given_with("imagejob/gpu-worker:0.1.0", "redis://:secret@queue.example.com", Tls::default())
}

fn built(pool: &WorkerPool, capacity: Capacity) -> Pod {
    let shape = Shape {
        name: "sd15-spot-0123456789".into(),
        capacity,
        zone: Some("eu-1a"),
        model: Some("v1-5.safetensors"),
    };
    build(pool, &shape, &given(), &Template::of(pool, &given())).unwrap()
}

fn with_template(template: &Value) -> WorkerPool {
    pool_with(json!({"spec": {"podTemplate": template}}))
}

/// What a team may well ask for: credentials, models on a volume, a toleration, an init container of its own.
fn rich() -> WorkerPool {
    pool_with(json!({"spec": {
        "engine": {
            "args": ["--highvram"],
            "env": [{"name": "HF_HOME", "value": "/models"}],
            "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": true}],
        },
        "fleets": {"spot": {
            "nodeSelector": {"karpenter.sh/capacity-type": "spot"},
            "tolerations": [{"key": "spot", "operator": "Exists"}],
        }},
        "output": {"endpoint": "https://minio.example.com", "keyPrefix": "generated/",
                   "credentialsSecretRef": {"name": "bucket"}},
        "podTemplate": {
            "metadata": {"labels": {"team": "art"}, "annotations": {"example.com/note": "hello"}},
            "spec": {
                "serviceAccountName": "painter",
                "priorityClassName": "batch",
                "terminationGracePeriodSeconds": 60,
                "nodeSelector": {"gpu": "a10", "karpenter.sh/capacity-type": "reserved"},
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
                "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}],
                "initContainers": [{"name": "fetch", "image": "example.com/fetch:1"}],
                "containers": [
                    {"name": "engine", "image": "ignored", "env": [{"name": "HF_HOME", "value": "/tmp"},
                                                                   {"name": "TZ", "value": "UTC"}]},
                    {"name": "gpu-worker", "image": "ignored",
                     "env": [{"name": "RUST_LOG", "value": "debug"}, {"name": "BUCKET", "value": "mine"}]},
                    {"name": "dcgm", "image": "example.com/dcgm:1"},
                ],
            },
        },
    }}))
}

#[test]
fn a_rich_spot_worker() {
    let mut pod = built(&rich(), Capacity::Spot);
    pod.annotations_mut().insert(names::ANNOTATION_TEMPLATE.into(), "[hash]".into());
    insta::assert_yaml_snapshot!(pod);
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.as_ref().unwrap();
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

fn container<'a>(pod: &'a Pod, name: &str) -> &'a Container {
    containers(pod).find(|container| container.name == name).unwrap()
}

fn env(container: &Container, name: &str) -> Option<String> {
    container.env.iter().flatten().find(|variable| variable.name == name)?.value.clone()
}

/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>
#[test]
fn a_plain_worker_passes_pod_security_restricted() {
    let pod = built(&crate::fixtures::pool(), Capacity::Spot);
    let spec = pod.spec.as_ref().unwrap();
    let all = spec.security_context.as_ref().unwrap();
    assert_eq!(all.run_as_non_root, Some(true));
    assert_eq!(all.seccomp_profile.as_ref().unwrap().type_, "RuntimeDefault");
    assert_eq!((spec.host_network, spec.host_pid, spec.host_ipc), (None, None, None));
    assert!(spec.volumes.iter().flatten().next().is_none());
    for container in containers(&pod) {
        let own = container.security_context.as_ref().unwrap();
        assert_eq!(own.allow_privilege_escalation, Some(false), "{}", container.name);
        assert_eq!(own.capabilities.as_ref().unwrap().drop, Some(vec!["ALL".to_owned()]));
        assert_eq!((own.privileged, own.run_as_non_root), (None, Some(true)));
        assert!(container.ports.iter().flatten().all(|port| port.host_port.is_none()));
    }
    assert_eq!(spec.automount_service_account_token, Some(false), "workers know no Kubernetes");
}

#[test]
fn the_engine_outlives_the_worker_and_both_fit_the_notice() {
    let pod = built(&crate::fixtures::pool(), Capacity::Spot);
    let engine = container(&pod, "engine");
    assert_eq!(engine.restart_policy.as_deref(), Some("Always"), "a native sidecar");
    let probe = engine.startup_probe.as_ref().unwrap();
    assert_eq!(
        probe.period_seconds.unwrap() * probe.failure_threshold.unwrap(),
        600,
        "engine.startupSeconds"
    );
    assert_eq!(pod.spec.as_ref().unwrap().termination_grace_period_seconds, Some(25));
    assert_eq!(env(container(&pod, "gpu-worker"), "DRAIN_GRACE").as_deref(), Some("22"));
}

#[test]
fn an_engine_that_answers_and_makes_nothing_is_restarted() {
    let pod = built(&crate::fixtures::pool(), Capacity::Spot);
    let probe = container(&pod, "engine").liveness_probe.as_ref().unwrap();
    let asked = probe.http_get.as_ref().unwrap();
    let port = container(&pod, "gpu-worker").ports.as_ref().unwrap()[0].container_port;
    assert_eq!(
        (asked.path.as_deref(), &asked.port),
        (Some("/enginez"), &IntOrString::Int(port)),
        "the worker knows"
    );
    let patience = probe.period_seconds.unwrap() * probe.failure_threshold.unwrap();
    assert!(patience >= 120, "gpu-worker's image is pulled after the engine's start");

    let own = json!({"spec": {"initContainers": [
        {"name": "engine", "livenessProbe": {"exec": {"command": ["nvidia-smi"]}}}]}});
    let pod = built(&with_template(&own), Capacity::Spot);
    assert!(container(&pod, "engine").liveness_probe.as_ref().unwrap().exec.is_some(), "the template's own");
}

#[test]
fn a_template_may_loosen_the_engine_but_not_rename_it() {
    let pool = with_template(&json!({"spec": {"containers": [
        {"name": "engine", "securityContext": {"runAsUser": 0}, "workingDir": "/comfy"}]}}));
    let pod = built(&pool, Capacity::Spot);
    let engine = container(&pod, "engine");
    assert_eq!(engine.security_context.as_ref().unwrap().run_as_user, Some(0));
    assert_eq!(engine.working_dir.as_deref(), Some("/comfy"));
    assert_eq!(engine.image.as_deref(), Some("registry.example.com/comfyui:cu128"));
    assert_eq!(pod.spec.as_ref().unwrap().containers.len(), 1, "it moved to the sidecars");
}

#[test]
fn labels_say_whose_it_is_and_its_pool_owns_it() {
    let pod = built(&crate::fixtures::pool(), Capacity::OnDemand);
    let label = |name: &str| pod.labels()[name].as_str();
    assert_eq!(
        (label(names::LABEL_POOL), label(names::LABEL_CAPACITY), label(names::LABEL_FLEET)),
        ("sd15", "onDemand", "on-demand")
    );
    let owner = &pod.owner_references()[0];
    assert_eq!((owner.kind.as_str(), owner.controller), ("WorkerPool", Some(true)));
}

#[test]
fn autoscalers_leave_a_machine_alone_for_the_worker_that_is_to_come() {
    let pod = built(&crate::fixtures::pool(), Capacity::Spot);
    assert_eq!(pod.annotations()["cluster-autoscaler.kubernetes.io/safe-to-evict"], "false");
    assert_eq!(pod.annotations()["karpenter.sh/do-not-disrupt"], "true");
}

#[test]
fn a_template_that_is_none_is_refused_with_the_field() {
    let pool = with_template(&json!({"spec": {"tolerration": [{"key": "spot"}]}}));
    let shape = Shape { name: "w".into(), capacity: Capacity::Spot, zone: None, model: None };
    let error = build(&pool, &shape, &given(), &Template::of(&pool, &given())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "podTemplate.spec.tolerration: no such field; see kubectl explain pod.spec"
    );
}

/// Whether a worker made from the pool as it was is the same as one made now, and whether the same runs in it.
fn still(change: Value) -> (bool, bool) {
    let before = Template::of(&crate::fixtures::pool(), &given()).text(Capacity::Spot);
    let now = Template::of(&pool_with(change), &given());
    (now.is_same(Capacity::Spot, &before), now.runs_the_same(Capacity::Spot, &before))
}

#[test]
fn workers_are_replaced_when_their_making_changes_and_only_then() {
    let (same, moved, other) = ((true, true), (false, true), (false, false));
    for (change, want) in [
        (json!({"metadata": {"labels": {"a": "b"}, "generation": 9}}), same),
        (json!({"spec": {"suspend": true}}), same),
        (json!({"spec": {"scaling": {"idleSeconds": 5}}}), same),
        (json!({"spec": {"fleets": {"spot": {"max": 3, "pricePerHour": "0.50"}}}}), same),
        (json!({"spec": {"fleets": {"on-demand": {"nodeSelector": {"gpu": "a10"}}}}}), same),
        (json!({"spec": {"fleets": {"spot": {"nodeSelector": {"gpu": "a10"}}}}}), moved),
        (
            json!({"spec": {"fleets": {"spot": {"tolerations": [{"key": "gpu", "operator": "Exists"}]}}}}),
            moved,
        ),
        (json!({"spec": {"podTemplate": {"spec": {"affinity": {"nodeAffinity": {}}}}}}), moved),
        (json!({"spec": {"podTemplate": {"metadata": {"labels": {"team": "art"}}}}}), moved),
        (json!({"spec": {"engine": {"image": "registry.example.com/comfyui:cu129"}}}), other),
        (json!({"spec": {"worker": {"env": [{"name": "A", "value": "b"}]}}}), other),
        (json!({"spec": {"podTemplate": {"spec": {"priorityClassName": "batch"}}}}), other),
        (json!({"spec": {"output": {"bucket": "other"}}}), other),
    ] {
        assert_eq!(still(change.clone()), want, "{change}");
    }
}

#[test]
fn a_worker_of_an_operator_with_another_rule_is_not_replaced_for_that_alone() {
    let now = Template::of(&crate::fixtures::pool(), &given());
    for made_from in ["", "0123456789abcdef", "1.0123456789abcdef.0123456789abcdef"] {
        assert!(now.runs_the_same(Capacity::Spot, made_from) && !now.is_same(Capacity::Spot, made_from));
    }
}

#[test]
fn workers_are_replaced_when_the_operator_gives_them_something_else() {
    let url = &given().queue.url;
    let upgraded = &given_with("imagejob/gpu-worker:0.2.0", url, Tls::default());
    let elsewhere =
        &given_with("imagejob/gpu-worker:0.1.0", "redis://:secret@other.example.com", Tls::default());
    let pool = crate::fixtures::pool();
    assert_ne!(Template::of(&pool, upgraded), Template::of(&pool, &given()));
    assert_ne!(Template::of(&pool, elsewhere), Template::of(&pool, &given()));
    let with_its_own = pool_with(json!({"spec": {"worker": {"image": "example.com/gpu-worker:mine"}}}));
    assert_eq!(Template::of(&with_its_own, upgraded), Template::of(&with_its_own, &given()));
}

#[test]
fn only_a_checkpoint_is_loaded_before_there_is_work() {
    let warm = |model: &str| {
        let pool = crate::fixtures::pool();
        let shape = Shape { name: "w".into(), capacity: Capacity::Spot, zone: None, model: Some(model) };
        let pod = build(&pool, &shape, &given(), &Template::of(&pool, &given())).unwrap();
        env(container(&pod, "gpu-worker"), "WARM_MODEL")
    };
    assert_eq!(warm("v1-5.safetensors").as_deref(), Some("v1-5.safetensors"));
    assert_eq!(warm("ae.safetensors+flux1-dev.safetensors"), None);
}

#[test]
fn workers_are_handed_what_they_need_for_a_redis_with_a_private_authority() {
    let pool = crate::fixtures::pool();
    let names = |tls: Tls| {
        let given = given_with("w", "rediss://queue.example.com", tls);
        let shape = Shape { name: "w".into(), capacity: Capacity::Spot, zone: None, model: None };
        let pod = build(&pool, &shape, &given, &Template::of(&pool, &given)).unwrap();
        let worker = container(&pod, "gpu-worker");
        let files = ["REDIS_CA_FILE", "REDIS_CERT_FILE", "REDIS_KEY_FILE"].map(|name| env(worker, name));
        let volumes = pod.spec.as_ref().unwrap().volumes.iter().flatten();
        let mounted: Vec<String> = volumes
            .filter_map(|volume| volume.secret.as_ref())
            .flat_map(|secret| secret.items.iter().flatten().map(|item| item.path.clone()))
            .collect();
        let keys: Vec<String> = secret_data(&given.queue).into_keys().collect();
        (files, mounted, keys)
    };
    assert_eq!(names(Tls::default()), ([None, None, None], vec![], vec!["url".to_owned()]));
    let tls = Tls { ca: Some(b"ca".to_vec()), client: Some((b"certificate".to_vec(), b"key".to_vec())) };
    let (files, mounted, keys) = names(tls);
    let at = |name: &str| Some(format!("/etc/imagejob/queue/{name}"));
    assert_eq!(files, [at("ca.crt"), at("tls.crt"), at("tls.key")]);
    assert_eq!(
        (mounted, keys),
        (
            vec!["ca.crt".to_owned(), "tls.crt".to_owned(), "tls.key".to_owned()],
            vec!["ca.crt".to_owned(), "tls.crt".to_owned(), "tls.key".to_owned(), "url".to_owned()],
        )
    );
}
