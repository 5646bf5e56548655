//! The operator as a process of its own, under the administrator's kubeconfig.

use std::{ffi::OsString, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use e2e::Programs;
use testkit::{Process, wait_for};

const READY: Duration = Duration::from_secs(30);

/// A running operator.
pub(crate) struct Operator {
    process: Process,
    address: SocketAddr,
}

impl Operator {
    /// Starts it and waits until it leads.
    pub(crate) async fn start(programs: &Programs, kubeconfig: &Path, redis_url: &str) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], testkit::free_port()?));
        let variable = |name: &str, value: &str| OsString::from(format!("{name}={value}"));
        let args = [
            variable("KUBECONFIG", &kubeconfig.display().to_string()),
            variable("REDIS_URL", redis_url),
            variable("POD_NAMESPACE", "default"),
            variable("RUST_LOG", "warn"),
            programs.path("operator").into(),
            "--listen".into(),
            address.to_string().into(),
        ];
        let operator = Self { process: Process::spawn("env", args)?, address };
        wait_for("the operator to lead", READY, async || {
            operator.metric("imagejob_leader").await.ok().filter(|leads| *leads > 0.0)
        })
        .await?;
        Ok(operator)
    }

    /// The sum of a metric over all its labels.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let text = reqwest::get(format!("http://{}/metrics", self.address)).await?.text().await?;
        let of_metric =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        Ok(text
            .lines()
            .filter(of_metric)
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }

    /// Its resident memory, MB (10^6 bytes).
    pub(crate) fn rss_mb(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024.0 / 1e6)
    }
}
