//! Machines that come and go: node groups, and what may happen to a machine.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use testkit::Cluster;

/// The cloud the cluster's machines come from.
#[derive(Debug, Clone)]
pub struct CloudOptions {
    /// The zones with spot machines.
    pub zones: Vec<String>,
    /// Spot machines per zone, at most.
    pub spot: u32,
    /// Fewer of them at times, as recorded; every zone goes by it.
    pub spot_trace: Option<SpotTrace>,
    /// On-demand machines, at most.
    pub on_demand: u32,
    /// How long a machine takes to boot.
    pub boot: Duration,
    /// How long an empty machine stays.
    pub keep_empty: Duration,
    /// How long the Node object of a machine that vanished stays.
    pub keep_gone: Duration,
}

impl Default for CloudOptions {
    fn default() -> Self {
        Self {
            zones: vec!["zone-a".to_owned(), "zone-b".to_owned()],
            spot: 4,
            spot_trace: None,
            on_demand: 2,
            boot: Duration::from_secs(2),
            keep_empty: Duration::from_secs(5),
            keep_gone: Duration::from_secs(20),
        }
    }
}

/// A recorded spot market, in the format that the local cluster's README tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpotTrace {
    /// The recording.
    pub file: PathBuf,
    /// Recorded time over ours.
    pub speed: u32,
}

/// A machine of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Machine {
    /// The node's name.
    pub name: String,
    /// The node group it belongs to.
    #[serde(default)]
    pub group: String,
}

impl CloudOptions {
    /// Writes the provisioner's file.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let group = |name: String, capacity: &str, zone: &str, max: u32| {
            json!({
                "name": name, "capacityType": capacity, "zone": zone, "instanceType": "gpu-1x", "gpus": 1,
                "max": max, "startDelay": seconds(self.boot), "removeAfterEmpty": seconds(self.keep_empty),
            })
        };
        let spot = |zone: &String| {
            let mut group = group(format!("spot-{zone}"), "spot", zone, self.spot);
            if let Some(SpotTrace { file, speed }) = &self.spot_trace {
                group["trace"] = json!({ "file": file, "speed": speed });
            }
            group
        };
        let mut groups: Vec<_> = self.zones.iter().map(spot).collect();
        if let (Some(zone), true) = (self.zones.first(), self.on_demand > 0) {
            groups.push(group(format!("on-demand-{zone}"), "on-demand", zone, self.on_demand));
        }
        let file_content = json!({ "groups": groups, "deleteGoneAfter": seconds(self.keep_gone) });
        std::fs::write(file, serde_json::to_vec_pretty(&file_content)?)
            .with_context(|| format!("write {}", file.display()))
    }
}

fn seconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// Does something to the machines of a cluster: `localcluster node VERB`.
pub(crate) fn node(cluster: &Cluster, verb: &str, args: &[&str]) -> Result<String> {
    localcluster(cluster, "node", verb, args)
}

/// Has the recorded spot markets begin now: `localcluster traces restart`.
pub(crate) fn restart_traces(cluster: &Cluster) -> Result<()> {
    localcluster(cluster, "traces", "restart", &[]).map(drop)
}

/// Stops or starts a part of the control plane: `localcluster components VERB`.
pub(crate) fn component(cluster: &Cluster, verb: &str, name: &str) -> Result<String> {
    localcluster(cluster, "components", verb, &[name])
}

fn localcluster(cluster: &Cluster, noun: &str, verb: &str, args: &[&str]) -> Result<String> {
    let state = cluster.state().context("the cluster has no state folder")?;
    let mut command = cluster.command();
    command.args([noun, verb]).args(args).arg("--state").arg(state).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("can't run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
