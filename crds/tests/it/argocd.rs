//! The health scripts for Argo CD, run by the Lua of a real Redis (5.1, as Argo CD's).

use std::fs;

use crds::{
    ImageJobStatus, Time, WorkerPoolStatus,
    conditions::{ConditionType, ConditionUpdate, JobReason, PoolReason, set_condition},
};
use serde::Serialize;
use serde_json::{Value, json};
use testkit::{Redis, RedisOptions};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/gitops/argocd/argocd-cm.yaml");

/// Runs the script of a kind on an object, as Argo CD does: the object is the global `obj`.
async fn health(redis: &Redis, kind: &str, object: &Value) -> String {
    let config_map: Value = serde_yaml_ng::from_str(&fs::read_to_string(FILE).unwrap()).unwrap();
    let script = config_map["data"][format!("resource.customizations.health.imagejob.dev_{kind}")].as_str();
    let script = script.unwrap();
    let program = format!(
        "local obj = cjson.decode(ARGV[1]); local function health() {script} end; return cjson.encode(health())"
    );
    let said = redis.command(&["EVAL", &program, "0", &object.to_string()]).await.unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(said["message"].is_string(), "{said}");
    said["status"].as_str().unwrap().to_owned()
}

fn object(status: impl Serialize, generation: i64) -> Value {
    json!({"metadata": {"name": "a", "generation": generation}, "status": status})
}

fn set(conditions: &mut Vec<crds::Condition>, reason: &'static str, kinds: &[(ConditionType, bool)]) {
    for (kind, status) in kinds {
        let message = "words".to_owned();
        let update =
            ConditionUpdate { kind: *kind, status: *status, reason, message, observed_generation: Some(1) };
        set_condition(conditions, update, &Time(jiff::Timestamp::UNIX_EPOCH));
    }
}

fn job(reason: JobReason, kinds: &[(ConditionType, bool)]) -> Value {
    let mut status = ImageJobStatus { observed_generation: Some(1), ..ImageJobStatus::default() };
    set(&mut status.conditions, reason.as_str(), kinds);
    object(status, 1)
}

fn pool(reason: &'static str, kinds: &[(ConditionType, bool)]) -> Value {
    let mut status = WorkerPoolStatus { observed_generation: Some(1), ..WorkerPoolStatus::default() };
    set(&mut status.conditions, reason, kinds);
    object(status, 1)
}

async fn redis() -> Redis {
    Redis::start(RedisOptions::default()).await.unwrap()
}

#[tokio::test]
async fn a_jobs_health_follows_its_conditions() {
    use ConditionType::{Complete, Failed, Late, Ready, Reconciling, Stalled};
    let redis = redis().await;
    let on_its_way = [(Ready, false), (Reconciling, true)];
    let late = [(Ready, false), (Reconciling, true), (Late, true)];
    let complete = [(Ready, true), (Reconciling, false), (Complete, true)];
    let failed = [(Ready, false), (Reconciling, false), (Failed, true), (Stalled, true)];
    let cancelled = [(Ready, true), (Reconciling, false), (Failed, true)];
    for (reason, kinds, expected) in [
        (JobReason::Waiting, &on_its_way[..], "Progressing"),
        (JobReason::Running, &late, "Progressing"),
        (JobReason::ClassNotFound, &on_its_way, "Progressing"),
        (JobReason::QueueUnavailable, &on_its_way, "Progressing"),
        (JobReason::Suspended, &on_its_way, "Suspended"),
        (JobReason::Completed, &complete, "Healthy"),
        (JobReason::ImagesFailed, &failed, "Degraded"),
        (JobReason::Rejected, &failed, "Degraded"),
        (JobReason::TooManyFailedImages, &failed, "Degraded"),
        // A user's own wish is no failure.
        (JobReason::Cancelled, &cancelled, "Healthy"),
    ] {
        assert_eq!(health(&redis, "ImageJob", &job(reason, kinds)).await, expected, "{reason}");
    }
}

#[tokio::test]
async fn a_pools_health_follows_its_conditions() {
    use ConditionType::{Ready, Reconciling, Stalled};
    let redis = redis().await;
    for reason in PoolReason::ALL {
        let (expected, ready, stalled) = match reason {
            PoolReason::Idle
            | PoolReason::Serving
            | PoolReason::ScalingUp
            | PoolReason::SpotShortage
            | PoolReason::AtLimit => ("Healthy", true, false),
            PoolReason::Suspended => ("Suspended", true, false),
            PoolReason::OnDemandShortage | PoolReason::NoMachines | PoolReason::QueueUnavailable => {
                ("Progressing", false, false)
            }
            PoolReason::PodTemplateInvalid | PoolReason::SpecUnknown => ("Degraded", false, true),
            PoolReason::ClassNotFound
            | PoolReason::WorkersFailing
            | PoolReason::StartupFailed
            | PoolReason::WorkersUnhealthy
            | PoolReason::WorkersUnschedulable
            | PoolReason::PodsRefused
            | PoolReason::SecretConflict
            | PoolReason::OutputDenied
            | PoolReason::OutputMissing
            | PoolReason::OutputFailed => ("Degraded", false, false),
            // It serves, and its owner has to do something all the same.
            PoolReason::QueueLosesData => ("Degraded", true, false),
        };
        let kinds = [(Ready, ready), (Reconciling, !ready && !stalled), (Stalled, stalled)];
        let pool = pool(reason.as_str(), &kinds);
        assert_eq!(health(&redis, "WorkerPool", &pool).await, expected, "{reason}");
    }
}

/// A status of the spec before the present one says nothing about the present one.
#[tokio::test]
async fn what_the_operator_has_not_seen_is_progressing() {
    let redis = redis().await;
    let new = json!({"metadata": {"name": "a", "generation": 1}});
    let bare = object(json!({"observedGeneration": 1}), 1);
    let ready = [(ConditionType::Ready, true), (ConditionType::Complete, true)];
    let mut changed_job = job(JobReason::Completed, &ready);
    changed_job["metadata"]["generation"] = json!(2);
    let mut changed_pool = pool(PoolReason::Serving.as_str(), &ready);
    changed_pool["metadata"]["generation"] = json!(2);
    for (kind, changed) in [("ImageJob", changed_job), ("WorkerPool", changed_pool)] {
        for object in [&new, &bare, &changed] {
            assert_eq!(health(&redis, kind, object).await, "Progressing", "{kind} {object}");
        }
    }
}
