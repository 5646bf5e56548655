//! What a person sees with kubectl.

use crds::{
    Capacity, Condition, Cost, Counts, Decimal, FleetPrice, FleetStatus, FleetType, ImageCost, ImageFailure,
    ImageJob, ImageJobStatus, JobOutput, JobPool, JobResult, MachineCost, Money, OutputFile, PoolCost,
    PoolDecision, PoolQueue, Prices, TenantCost, Time, Timings, WorkerPool, WorkerPoolStatus,
    conditions::{ConditionType, ConditionUpdate, JobReason, MESSAGE_MAX, PoolReason, set_condition},
};
use jiff::Timestamp;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    objects::{graph_job, job, pool, with},
    server::Server,
};

fn now() -> Time {
    Time(Timestamp::from_second(1_790_000_000).unwrap())
}

fn conditions(reason: &'static str, kinds: &[(ConditionType, bool)]) -> Vec<Condition> {
    let mut conditions = vec![];
    for (kind, status) in kinds {
        let message = "ü".repeat(MESSAGE_MAX + 1);
        let update =
            ConditionUpdate { kind: *kind, status: *status, reason, message, observed_generation: Some(1) };
        set_condition(&mut conditions, update, &now());
    }
    conditions
}

/// A status with everything in it, as full as it may get.
fn full_job_status() -> ImageJobStatus {
    let kinds =
        [(ConditionType::Ready, true), (ConditionType::Complete, true), (ConditionType::Reconciling, false)];
    let late = [(ConditionType::Late, false)];
    let file = |index: u32, n: u32| OutputFile {
        node: "9".into(),
        name: format!("ComfyUI_{index}_{n}.png"),
        media_type: "image/png".into(),
        bytes: 1_000_000,
        sha256: Some("0".repeat(64)),
        width: Some(512),
        height: Some(512),
        duration_seconds: Some(Decimal::seconds(1_500)),
        key: format!("generated/{index}/{n}"),
        url: format!("https://cdn.example.com/{index}/{n}"),
    };
    let result = |index| JobResult {
        index,
        outputs: (0..20).map(|n| file(index, n)).collect(),
        seed: Some(u64::MAX - u64::from(index)),
        gpu_seconds: Decimal::seconds(12_345),
        capacity: Capacity::Spot,
        amount: Money::from_micros(3_086),
        attempts: 2,
        timings: Some(Timings { queue_ms: 1, load_ms: 2, sample_ms: 3, decode_ms: 4, upload_ms: 5 }),
    };
    let failure =
        |index| ImageFailure { index, reason: "OutOfMemory".into(), message: "x".repeat(1024), attempts: 3 };
    ImageJobStatus {
        observed_generation: Some(1),
        conditions: [
            conditions(JobReason::Completed.as_str(), &kinds),
            conditions(JobReason::SlaRecovered.as_str(), &late),
        ]
        .concat(),
        progress: Some("3/4".into()),
        counts: Some(Counts { total: 4, waiting: 0, running: 1, succeeded: 3, failed: 0 }),
        pool: Some(JobPool {
            namespace: "shared".into(),
            name: "sd15".into(),
            uid: Some("0b2d5c9e-8a34-4a6f-b0a1-7c6d5e4f3a21".into()),
        }),
        class: Some("standard".into()),
        tenant: Some("acme".into()),
        accepted_time: Some(now()),
        sla_seconds: Some(300),
        weight: Some(4),
        seed: Some(9_007_199_254_740_991),
        segments: Some(3),
        workflow_digest: Some(format!("sha256:{}", "0".repeat(64))),
        output: Some(JobOutput {
            endpoint: Some("https://minio.example.com".into()),
            bucket: "images".into(),
            key_prefix: "generated/".into(),
            public_url: "https://cdn.example.com".into(),
        }),
        results: (0..100).map(result).collect(),
        manifest_url: Some("https://cdn.example.com/manifest.json".into()),
        failures: (0..20).map(failure).collect(),
        start_time: Some(now()),
        completion_time: Some(now()),
        estimated_completion_time: Some(now()),
        due_time: Some(now()),
        suspended_time: Some(now()),
        suspended_seconds: Some(60),
        interruptions: Some(1),
        retries: Some(2),
        cost: Some(Cost {
            gpu_seconds: Decimal::seconds(49_380),
            amount: Money::from_micros(12_345),
            on_demand_amount: Money::from_micros(41_973),
            saving_percent: 71,
            currency: "USD".into(),
        }),
    }
}

fn full_pool_status() -> WorkerPoolStatus {
    let fleet = |name: &str, fleet_type| FleetStatus::empty(name.to_owned(), fleet_type);
    let busy = FleetStatus {
        total: 4,
        starting: 1,
        idle: 1,
        busy: 1,
        draining: 1,
        ..fleet("spot", FleetType::Spot)
    };
    let paid = |name: &str, fleet_type, price_per_hour| FleetPrice {
        name: name.to_owned(),
        fleet_type,
        price_per_hour,
    };
    let price = "999999.999999".parse().unwrap();
    let images =
        ImageCost { made: 7, gpu_seconds: Decimal::seconds(35_791), amount: price, on_demand_amount: price };
    WorkerPoolStatus {
        observed_generation: Some(1),
        conditions: conditions(PoolReason::Serving.as_str(), &[(ConditionType::Ready, true)]),
        queue: Some(PoolQueue { waiting: 7, running: 3, oldest_seconds: Some(12) }),
        fleets: vec![busy, FleetStatus { total: 1, ..fleet("on-demand", FleetType::OnDemand) }],
        cost: Some(PoolCost {
            per_hour: Money::from_micros(6_660_000),
            on_demand_per_hour: Money::from_micros(15_300_000),
            currency: "USD".into(),
            since: Some(now()),
            until: Some(now()),
            total: Money::from_micros(9_999_999_999_999_999_999),
            on_demand_total: Money::from_micros(9_999_999_999_999_999_999),
            saving_percent: 56,
            spot: MachineCost { seconds: 86_400, amount: price, on_demand_amount: price },
            on_demand: MachineCost { seconds: 3600, amount: price, on_demand_amount: price },
            images,
            tenants: (0..50).map(|i| TenantCost { name: format!("tenant-{i}"), images }).collect(),
            other_tenants: images,
            prices: vec![
                Prices {
                    since: now(),
                    fleets: vec![
                        paid("spot", FleetType::Spot, price),
                        paid("on-demand", FleetType::OnDemand, price)
                    ],
                };
                32
            ],
        }),
        engine: None,
        models: Vec::new(),
        last_decision: Some(PoolDecision {
            time: now(),
            reason: "WorkWaits".into(),
            message: "started 1".into(),
        }),
    }
}

async fn finished_job(server: &Server, name: &str) -> ImageJob {
    server.create(&with(job(), "/metadata/name", &json!(name))).await;
    let jobs: Api<ImageJob> = Api::namespaced(server.client.clone(), "default");
    let status = Patch::Merge(json!({"status": full_job_status()}));
    jobs.patch_status(name, &PatchParams::default(), &status).await.unwrap()
}

async fn busy_pool(server: &Server, name: &str) -> WorkerPool {
    server.create(&with(pool(), "/metadata/name", &json!(name))).await;
    let pools: Api<WorkerPool> = Api::namespaced(server.client.clone(), "default");
    let status = Patch::Merge(json!({"status": full_pool_status()}));
    pools.patch_status(name, &PatchParams::default(), &status).await.unwrap()
}

/// One row of a table, cells apart.
fn row(table: &str, name: &str) -> Vec<String> {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_full_status_is_kept_whole() {
    let server = Server::get().await;
    assert!(finished_job(&server, "whole").await.status == Some(full_job_status()));
    assert!(busy_pool(&server, "whole").await.status == Some(full_pool_status()));
}

#[tokio::test]
async fn get_shows_a_job_at_a_glance() {
    let server = Server::get().await;
    finished_job(&server, "glance").await;
    let kubectl = |args: &[&str]| server.cluster.kubectl(args).unwrap();

    let table = kubectl(&["get", "ij"]);
    assert_eq!(row(&table, "NAME"), ["NAME", "STATE", "PROGRESS", "CLASS", "POOL", "COST", "AGE"]);
    let shown = row(&table, "glance");
    assert_eq!(shown[..6], ["glance", "Completed", "3/4", "standard", "sd15", "0.012345"]);

    let wide = kubectl(&["get", "imagejobs", "-o", "wide"]);
    assert_eq!(row(&wide, "NAME")[7..], ["INTERRUPTIONS", "RETRIES", "LATE"]);
    assert_eq!(row(&wide, "glance")[7..], ["1", "2", "SlaRecovered"]);

    kubectl(&["wait", "--for=condition=Complete", "imagejob/glance", "--timeout=5s"]);
    let urls = kubectl(&["get", "imagejob", "glance", "-o", "jsonpath={.status.results[*].outputs[0].url}"]);
    assert_eq!(urls.split(' ').count(), 100);
    let seeds = kubectl(&["get", "imagejob", "glance", "-o", "jsonpath={.status.results[0:2].seed}"]);
    assert_eq!(seeds, "18446744073709551615 18446744073709551614");
}

#[tokio::test]
async fn get_shows_a_pool_at_a_glance() {
    let server = Server::get().await;
    busy_pool(&server, "glance").await;
    let kubectl = |args: &[&str]| server.cluster.kubectl(args).unwrap();

    let table = kubectl(&["get", "wp"]);
    assert_eq!(
        row(&table, "NAME"),
        ["NAME", "STATE", "WAITING", "RUNNING", "SPOT", "ONDEMAND", "COST/H", "AGE"]
    );
    assert_eq!(row(&table, "glance")[..7], ["glance", "Serving", "7", "3", "4", "1", "6.66"]);

    let category = kubectl(&["get", "imaging", "-o", "name"]);
    assert!(category.contains("workerpool.imagejob.dev/glance"), "{category}");
}

#[tokio::test]
async fn explain_tells_units_and_defaults() {
    let server = Server::get().await;
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let explain = |field: &str| words(server.cluster.kubectl(["explain", field]).unwrap());
    assert!(explain("imagejob.spec.timeoutSeconds").contains("in seconds, 1 to 86400. Default: 300."));
    assert!(explain("workerpool.spec.fleets.pricePerHour").contains("per hour"));
}

#[tokio::test]
async fn a_refusal_names_the_field_and_what_is_right() {
    let server = Server::get().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let bad = with(job(), "/spec/work/textToImage/width", &json!(100));
    std::fs::write(file.path(), bad.to_string()).unwrap();
    let refusal =
        server.cluster.kubectl(["create", "-f", file.path().to_str().unwrap()]).unwrap_err().to_string();
    assert!(
        refusal.contains(
            "The ImageJob \"lighthouse\" is invalid: spec.work.textToImage.width: Invalid value: 100"
        ),
        "{refusal}"
    );
}

/// The annotation of client-side apply ends at 256 KiB; the guide names the two ways past it.
#[tokio::test]
async fn a_large_job_is_created_or_applied_on_the_server() {
    let server = Server::get().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let write = |name: &str| {
        let large = with(graph_job(), "/spec/work/workflow/inputs/3.note", &json!("a ".repeat(150_000)));
        std::fs::write(file.path(), with(large, "/metadata/name", &json!(name)).to_string()).unwrap();
    };
    let kubectl = |args: &[&str]| server.cluster.kubectl(args.iter().copied().chain(["-f", path]));
    write("large-applied");
    let refusal = kubectl(&["apply"]).unwrap_err().to_string();
    assert!(refusal.contains("metadata.annotations: Too long"), "{refusal}");
    kubectl(&["apply", "--server-side"]).unwrap();
    write("large-created");
    kubectl(&["create"]).unwrap();
}
