//! The machines of the cluster: node groups, and what can be done to a machine.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use testkit::Cluster;

/// The cloud from which the cluster's machines come.
#[derive(Debug, Clone)]
pub struct CloudOptions {
    /// The zones that have spot machines.
    pub zones: Vec<String>,
    /// The largest number of spot machines per zone.
    pub spot: u32,
    /// The recorded spot market that limits the machines of every zone.
    pub spot_trace: Option<SpotTrace>,
    /// The largest number of on-demand machines.
    pub on_demand: u32,
    /// The time that a machine takes to boot.
    pub boot: Duration,
    /// The time after which an empty machine is removed.
    pub keep_empty: Duration,
    /// The time after which the Node object of a dead machine is removed.
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

/// A recorded spot market, in the format that the local cluster's README describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpotTrace {
    /// The file of the recording.
    pub file: PathBuf,
    /// How many times faster than recorded the market runs.
    pub speed: u32,
}

/// A machine of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Machine {
    /// The node's name.
    pub name: String,
    /// The machine's node group.
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

/// Runs a command on the machines of a cluster: `localcluster node VERB`.
pub(crate) fn node(cluster: &Cluster, verb: &str, args: &[&str]) -> Result<String> {
    localcluster(cluster, "node", verb, args)
}

/// Starts the recorded spot markets from their beginning: `localcluster traces restart`.
pub(crate) fn restart_traces(cluster: &Cluster) -> Result<()> {
    localcluster(cluster, "traces", "restart", &[]).map(drop)
}

/// Stops or starts a component of the control plane: `localcluster components VERB`.
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
