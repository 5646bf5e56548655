//! One api-server process, with the log that it writes by default.

use std::{ffi::OsString, fs::File, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use testkit::{Process, free_port, memory_mb, wait_for};

use super::stage::{SYSTEM, Stage};

const READY: Duration = Duration::from_secs(60);

pub(super) struct Replica {
    arguments: Vec<OsString>,
    log: PathBuf,
    pub(super) address: SocketAddr,
    metrics: SocketAddr,
    /// `None`: it was not started yet, or killed.
    process: Option<Process>,
}

impl Replica {
    pub(super) fn new(stage: &Stage) -> Result<Self> {
        let address = || Ok::<_, anyhow::Error>(SocketAddr::from(([127, 0, 0, 1], free_port()?)));
        let (address, metrics) = (address()?, address()?);
        let arguments = [
            format!("KUBECONFIG={}", stage.cluster.kubeconfig().display()),
            stage.programs.path("api-server").display().to_string(),
            format!("--redis-url={}", stage.redis.url()),
            format!("--namespace={SYSTEM}"),
            format!("--listen={address}"),
            format!("--metrics-listen={metrics}"),
        ];
        let arguments = arguments.into_iter().map(OsString::from).collect();
        let log = stage.files.path().join(format!("{}.log", address.port()));
        Ok(Self { arguments, log, address, metrics, process: None })
    }

    /// Starts it, again under its old address, and waits until it is ready.
    pub(super) async fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log).context("a log")?;
        self.process = Some(Process::spawn_logged("env", self.arguments.clone(), log)?);
        let url = format!("http://{}/readyz", self.metrics);
        wait_for("a replica to be ready", READY, async || {
            reqwest::get(&url).await.ok()?.status().is_success().then_some(())
        })
        .await
        .with_context(|| std::fs::read_to_string(&self.log).unwrap_or_default())
    }

    /// Sends SIGKILL.
    pub(super) fn kill(&mut self) {
        self.process = None;
    }

    /// Its resident memory, in MB (10^6 bytes).
    pub(super) fn rss_mb(&self) -> Result<f64> {
        let process = self.process.as_ref().context("it does not run")?;
        memory_mb(process.pid().unsigned_abs(), "VmRSS")
    }
}
