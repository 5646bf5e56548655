//! Finds the processes that run in place of a Pod's containers.

use std::fs;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use rustix::process::{Pid, Signal, kill_process};

/// A process of a Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodProcess(Pid);

impl PodProcess {
    /// The Pod's process that runs this program.
    ///
    /// # Errors
    /// If the Pod has no such process.
    pub fn of(pod: &Pod, program: &str) -> Result<Self> {
        let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
        // The addresses of Pods are unique on the machine, even with several clusters.
        let mark = format!("LOCALCLUSTER_POD_IP={}", ip.context("the Pod has no address yet")?);
        let ours = |pid: &Pid| {
            let file = |name| fs::read(format!("/proc/{}/{name}", pid.as_raw_nonzero())).unwrap_or_default();
            file("comm").trim_ascii_end() == program.as_bytes()
                && file("environ").split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let names = fs::read_dir("/proc")?.flatten().map(|entry| entry.file_name());
        let mut pids = names.filter_map(|name| Pid::from_raw(name.to_str()?.parse().ok()?));
        let found = pids.find(ours);
        found.map(Self).with_context(|| format!("no {program} runs in Pod {}", pod.name_any()))
    }

    /// Sends SIGKILL.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn kill(self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    /// Sends SIGSTOP: the process does nothing until [`resume`](Self::resume).
    ///
    /// # Errors
    /// If the process has ended.
    pub fn pause(self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Sends SIGCONT, after [`pause`](Self::pause).
    ///
    /// # Errors
    /// If the process has ended.
    pub fn resume(self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(self, signal: Signal) -> Result<()> {
        kill_process(self.0, signal).with_context(|| format!("can't send {signal:?} to {self:?}"))
    }
}
