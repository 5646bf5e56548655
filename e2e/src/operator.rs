//! Runs the operator as a process outside the cluster that it serves.

use std::{
    ffi::OsString,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use testkit::{Clock, Process, memory_mb, wait_for};

use crate::programs::Programs;

const READY: Duration = Duration::from_secs(60);

/// The addresses that an operator uses, and its identity.
#[derive(Debug, Clone)]
pub struct OperatorOptions<'a> {
    /// The kubeconfig of the cluster that the operator serves.
    pub kubeconfig: &'a Path,
    /// The address of the queue.
    pub redis_url: &'a str,
    /// The operator's name in the leader election. An operator that is killed and starts again under its old name need
    /// not wait until its Lease expires, like a container that is restarted in its Pod.
    pub identity: &'a str,
    /// The file to which the log is appended; `None`: the log is discarded.
    pub log: Option<PathBuf>,
    /// The clock it goes by, if not the machine's.
    pub clock: Option<Clock>,
}

/// A running operator.
pub struct Operator {
    process: Process,
    address: SocketAddr,
}

impl Operator {
    /// Starts an operator.
    ///
    /// # Errors
    /// If the program can't be started.
    pub fn spawn(programs: &Programs, options: &OperatorOptions<'_>) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], testkit::free_port()?));
        let variable = |name: &str, value: &str| OsString::from(format!("{name}={value}"));
        let own = [
            variable("KUBECONFIG", &options.kubeconfig.display().to_string()),
            variable("REDIS_URL", options.redis_url),
            variable("POD_NAMESPACE", "default"),
            variable("POD_NAME", options.identity),
            variable("RUST_LOG", if options.log.is_some() { "info" } else { "warn" }),
            programs.path("operator").into(),
            "--listen".into(),
            address.to_string().into(),
        ];
        let args = options.clock.iter().flat_map(Clock::variables).chain(own);
        let process = match &options.log {
            Some(log) => Process::spawn_logged("env", args, append(log)?)?,
            None => Process::spawn("env", args)?,
        };
        Ok(Self { process, address })
    }

    /// Starts an operator and waits until it leads.
    ///
    /// # Errors
    /// If the program can't be started, or if it does not lead in time.
    pub async fn start(programs: &Programs, options: &OperatorOptions<'_>) -> Result<Self> {
        let operator = Self::spawn(programs, options)?;
        operator.leads().await?;
        Ok(operator)
    }

    /// Waits until the operator leads.
    ///
    /// # Errors
    /// If it does not lead in time.
    pub async fn leads(&self) -> Result<()> {
        let leads = async || self.metric("imagejob_leader").await.ok().filter(|leads| *leads > 0.0);
        wait_for("the operator to lead", READY, leads).await.map(drop)
    }

    /// The operator's process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The sum of a metric over all its labels.
    ///
    /// # Errors
    /// If the operator does not answer.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        metric(self.address, name).await
    }

    /// The same, over those series only that have this label: `name="value"`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metric_with(&self, name: &str, label: &str) -> Result<f64> {
        metric_where(self.address, name, |line| line.contains(label)).await
    }

    /// The operator's resident memory, in MB (10^6 bytes).
    ///
    /// # Errors
    /// If the process has ended.
    pub fn rss_mb(&self) -> Result<f64> {
        memory_mb(self.process.pid().unsigned_abs(), "VmRSS")
    }

    /// The most that [`rss_mb`](Self::rss_mb) has been since it was started.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn peak_rss_mb(&self) -> Result<f64> {
        memory_mb(self.process.pid().unsigned_abs(), "VmHWM")
    }
}

/// The sum of an operator's metric over all its labels.
pub(crate) async fn metric(operator: SocketAddr, name: &str) -> Result<f64> {
    metric_where(operator, name, |_| true).await
}

async fn metric_where(operator: SocketAddr, name: &str, counts: impl Fn(&str) -> bool) -> Result<f64> {
    let text = reqwest::get(format!("http://{operator}/metrics")).await?.error_for_status()?.text().await?;
    let of_metric = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
    let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    Ok(text.lines().filter(of_metric).filter(|line| counts(line)).filter_map(value).sum())
}

fn append(log: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(log);
    file.with_context(|| format!("can't write {}", log.display()))
}
