//! A control plane, Redis and S3 without machines. The operator is a process that can be killed at any moment and
//! reached by any way, and workers are what the test makes of them: a trial takes seconds.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result};
use crds::{ImageJob, WorkerPool};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use testkit::{Clock, Process, wait_for};

use super::{Facts, Made, Verdict, judge};
use crate::{
    jobs::Studio,
    operator::{Operator, OperatorOptions},
    world::World,
};

/// Generous: the machine may be building something else meanwhile.
const SOON: Duration = Duration::from_secs(90);

/// Where it plays.
pub struct Stand {
    /// What is there.
    pub world: World,
    /// The API server without TLS, so that what passes can be read.
    api: SocketAddr,
    _api: Process,
    /// The clock that Redis goes by; none where the machine can't do that.
    clock: Option<Clock>,
}

impl Stand {
    /// Starts it.
    ///
    /// # Errors
    /// When a part can't be built or does not get ready.
    pub async fn start() -> Result<Self> {
        let clock = Clock::new().inspect_err(|error| tracing::warn!(%error, "no other clocks here")).ok();
        let world = World::bare(clock.clone()).await?;
        let log = world.files().join("kubectl-proxy.log");
        let kubeconfig = world.cluster.kubeconfig().into();
        let args = ["--kubeconfig".into(), kubeconfig, "proxy".into(), "--port=0".into()];
        let process = Process::spawn_logged(world.cluster.kubectl_path(), args, File::create(&log)?)?;
        let api = wait_for("kubectl proxy to listen", SOON, async || {
            fs::read_to_string(&log).ok()?.trim().strip_prefix("Starting to serve on ")?.parse().ok()
        });
        Ok(Self { api: api.await?, world, _api: process, clock })
    }

    /// The API server, in plain HTTP and with the administrator's rights.
    #[must_use]
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// Where Redis listens.
    pub async fn redis(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.world.redis.lock().await.port()))
    }

    /// The clock that Redis goes by; none where the machine can't do that.
    #[must_use]
    pub fn redis_clock(&self) -> Option<&Clock> {
        self.clock.as_ref()
    }

    /// Where S3 listens.
    pub async fn s3(&self) -> SocketAddr {
        self.world.s3.lock().await.address()
    }

    /// Starts an operator that reaches API server and Redis at these addresses. It does not lead yet.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn operator(&self, identity: &str, api: SocketAddr, redis: SocketAddr) -> Result<Operator> {
        self.operator_by(identity, api, redis, None)
    }

    /// Starts an operator that reaches all directly, and waits until it leads.
    ///
    /// # Errors
    /// When it can't be started, or does not lead in time.
    pub async fn leader(&self, identity: &str) -> Result<Operator> {
        let operator = self.operator(identity, self.api(), self.redis().await)?;
        operator.leads().await?;
        Ok(operator)
    }

    /// As [`operator`](Self::operator), by a clock of its own.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn operator_by(
        &self,
        identity: &str,
        api: SocketAddr,
        redis: SocketAddr,
        clock: Option<Clock>,
    ) -> Result<Operator> {
        let options = OperatorOptions {
            kubeconfig: &self.kubeconfig(api)?,
            redis_url: &format!("redis://{redis}/"),
            identity,
            log: Some(self.world.files().join(format!("{identity}.log"))),
            clock,
        };
        Operator::spawn(&self.world.programs, &options)
    }

    /// The end of an operator's log.
    #[must_use]
    pub fn log(&self, identity: &str) -> String {
        const LINES: usize = 60;
        let log = fs::read_to_string(self.world.files().join(format!("{identity}.log"))).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    fn kubeconfig(&self, api: SocketAddr) -> Result<PathBuf> {
        let file = self.world.files().join(format!("kubeconfig-{}.json", api.port()));
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "stand",
            "clusters": [{ "name": "stand", "cluster": { "server": format!("http://{api}") } }],
            "contexts": [{ "name": "stand", "context": { "cluster": "stand", "user": "stand" } }],
            "users": [{ "name": "stand", "user": {} }],
        });
        fs::write(&file, kubeconfig.to_string()).with_context(|| format!("write {}", file.display()))?;
        Ok(file)
    }

    /// Opens a studio whose pictures lie in the folder of its name, and whose pool reaches S3 at this address.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn studio(&self, name: &str, s3: SocketAddr, idle_seconds: u32) -> Result<Studio<'_>> {
        self.studio_with(name, |spec| {
            spec["output"]["endpoint"] = format!("http://{s3}").into();
            spec["scaling"]["idleSeconds"] = idle_seconds.into();
        })
        .await
    }

    /// Opens a studio whose pictures lie in the folder of its name; `change` may change its pool's spec first.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn studio_with(&self, name: &str, change: impl FnOnce(&mut Value)) -> Result<Studio<'_>> {
        Studio::open(&self.world, name, |spec| {
            spec["output"]["keyPrefix"] = format!("{name}/").into();
            change(spec);
        })
        .await
    }

    /// Judges the studio's jobs, once nothing is left of them in the queue.
    ///
    /// # Errors
    /// When API server, Redis or bucket can't be read.
    pub async fn verdict(&self, studio: &Studio<'_>, made: Made) -> Result<Verdict> {
        // A watch that failed several times is tried again after up to 30 s; until then nobody knows what was deleted.
        const TIDY: Duration = Duration::from_secs(45);
        let queue = studio.queue().await?;
        let empty = async || queue.jobs(0).await.ok()?.jobs.is_empty().then_some(());
        // What is left after this is in the verdict.
        let _ = wait_for("the queue to be empty", TIDY, empty).await;
        Ok(judge(&Facts::gather(studio, made).await?))
    }

    /// Deletes a studio's jobs and pool, and waits until the operator has nothing to do with them any more.
    ///
    /// # Errors
    /// When they don't go.
    pub async fn close(&self, studio: &Studio<'_>) -> Result<()> {
        let (now, all) = (DeleteParams::default(), ListParams::default());
        let jobs: Api<ImageJob> = studio.api();
        jobs.delete_collection(&now, &all).await?;
        studio.api::<WorkerPool>().delete_collection(&now, &all).await?;
        let gone = async || jobs.list(&all).await.ok()?.items.is_empty().then_some(());
        wait_for("the jobs to be gone", SOON, gone).await
    }
}
