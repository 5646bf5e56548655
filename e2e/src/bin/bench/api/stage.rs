//! What the HTTP API needs around it: a control plane with the base installed, Redis, a tenant and its key.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use crds::{ImageJob, ImageTenant};
use e2e::Programs;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
    core::ObjectMeta,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Cluster, ClusterOptions, Redis, RedisOptions, wait_for};

use super::replica::Replica;

/// The namespace of the tenant's jobs, and the tenant's name: jobs of such a tenant need not name it.
pub(super) const NAMESPACE: &str = "bench";
/// The namespace of tenants and keys.
pub(super) const SYSTEM: &str = "imagejob-system";
/// The pool that all jobs are for. It need not exist.
pub(super) const POOL: &str = "pool";
const BASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/base");
const DELETED_WITHIN: Duration = Duration::from_secs(120);

/// All that replicas need. It ends with this value.
pub(super) struct Stage {
    pub(super) client: Client,
    /// The tenant's API key.
    pub(super) key: String,
    pub(super) redis: Redis,
    pub(super) programs: Programs,
    pub(super) cluster: Cluster,
    /// For the logs of replicas.
    pub(super) files: TempDir,
}

impl Stage {
    pub(super) async fn set() -> Result<Self> {
        let programs = tokio::task::spawn_blocking(Programs::build).await??;
        let (cluster, redis) = tokio::try_join!(
            Cluster::start(ClusterOptions::default()),
            Redis::start(RedisOptions::default())
        )?;
        let client = e2e::client(cluster.kubeconfig()).await?;
        cluster.kubectl(["apply", "--server-side", "-k", BASE])?;
        cluster.kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
        let metadata = ObjectMeta { name: Some(NAMESPACE.to_owned()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        tenant(&client).await?;
        let key = key(&programs, cluster.kubeconfig())?;
        Ok(Self { client, key, redis, programs, cluster, files: tempfile::tempdir()? })
    }

    /// A replica that is ready.
    pub(super) async fn replica(&self) -> Result<Replica> {
        let mut replica = Replica::new(self)?;
        replica.start().await?;
        Ok(replica)
    }

    pub(super) fn jobs(&self) -> Api<ImageJob> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Deletes all jobs, and waits until none is left.
    pub(super) async fn delete_jobs(&self) -> Result<()> {
        let jobs = self.jobs();
        jobs.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        wait_for("the jobs to be gone", DELETED_WITHIN, async || {
            let left = jobs.list_metadata(&ListParams::default().limit(1)).await.ok()?;
            left.items.is_empty().then_some(())
        })
        .await
    }

    /// A request of the tenant's, ready to be sent.
    pub(super) fn request(&self, line: &str, headers: &str, body: &str) -> Vec<u8> {
        let (key, length) = (&self.key, body.len());
        format!(
            "{line} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n{headers}content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// The spec of a job, alike for those who send it to the HTTP API and who create it themselves.
pub(super) fn spec() -> Value {
    json!({
        "poolRef": { "name": POOL },
        "ttlSecondsAfterFinished": 604_800,
        "work": {
            "type": "TextToImage",
            "textToImage": { "model": "m.safetensors", "prompt": "a lighthouse at dusk", "steps": 4, "seed": 42 },
        },
    })
}

/// A tenant with limits that it does not reach, so that they are looked up.
async fn tenant(client: &Client) -> Result<()> {
    let limits = json!({ "requestsPerSecond": 10_000, "unfinishedJobs": 100_000, "imagesPerDay": 1_000_000 });
    let spec = serde_json::from_value(json!({ "namespace": NAMESPACE, "limits": limits }))?;
    let tenants: Api<ImageTenant> = Api::namespaced(client.clone(), SYSTEM);
    tenants.create(&PostParams::default(), &ImageTenant::new(NAMESPACE, spec)).await?;
    Ok(())
}

fn key(programs: &Programs, kubeconfig: &Path) -> Result<String> {
    let output = Command::new(programs.path("api-server"))
        .args(["--namespace", SYSTEM, "create-key", "--tenant", NAMESPACE])
        .env("KUBECONFIG", kubeconfig)
        .output()
        .context("run api-server")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
