//! Deploys the operator as a user does: with the manifests and an overlay.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::Cluster;

use crate::programs::{Programs, workspace};

/// The operator's namespace.
pub(crate) const SYSTEM: &str = "imagejob-system";

/// The engine in the workers' Pods.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineOptions {
    /// The arguments of the container, without the address to listen on.
    pub args: Vec<String>,
    /// The program that runs instead of the simulator, with its first arguments.
    pub command: Option<Vec<String>>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { args: vec!["--step-ms".to_owned(), "20".to_owned()], command: None }
    }
}

impl EngineOptions {
    /// An engine that takes 20 ms for a step, and 0.3 s to load a model.
    #[must_use]
    pub fn quick() -> Self {
        let args = ["--step-ms", "20", "--load-ms", "300"].map(str::to_owned).into();
        Self { args, ..Self::default() }
    }
}

/// Writes the table of the programs that run in place of container images.
pub(crate) fn write_images(file: &Path, programs: &Programs, engine: &EngineOptions) -> Result<()> {
    let program = |name: &str| vec![programs.path(name).display().to_string()];
    let engine = engine.command.clone().unwrap_or_else(|| program("comfyui-sim"));
    let mut worker = program("gpu-worker");
    worker.extend(["--metadata-url", "$(LOCALCLUSTER_METADATA_URL)"].map(str::to_owned));
    let table = json!({ "images": {
        "imagejob/operator:*": { "command": program("operator") },
        "imagejob/api-server:*": { "command": program("api-server") },
        "imagejob/gpu-worker:*": {
            "command": worker,
            "env": { "TERMINATION_LOG": "$(LOCALCLUSTER_TERMINATION_LOG)" },
        },
        "comfyui:*": { "command": engine },
    }});
    let table = table["images"].clone();
    fs::write(file, serde_json::to_vec_pretty(&table)?).with_context(|| format!("write {}", file.display()))
}

/// How many of our servers there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replicas {
    pub(crate) operators: u32,
    pub(crate) api_servers: u32,
}

/// Applies the base with the address of the test's Redis, and returns when the API server has accepted all objects.
pub(crate) fn apply(
    cluster: &Cluster,
    directory: &Path,
    redis_url: &str,
    replicas: Replicas,
    collector: Option<&str>,
) -> Result<()> {
    let overlay = directory.join("overlay");
    fs::create_dir_all(&overlay)?;
    let beside = |folder: &str| -> Result<PathBuf> {
        Ok(relative(&overlay.canonicalize()?, &workspace().join("manifests").join(folder).canonicalize()?))
    };
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": SYSTEM,
        "resources": [beside("base")?, beside("api-server")?],
        "replicas": [
            { "name": "imagejob-operator", "count": replicas.operators },
            { "name": "imagejob-api", "count": replicas.api_servers },
        ],
        "patches": collector.map(export_traces).into_iter().collect::<Vec<_>>(),
        "secretGenerator": [{
            "name": "imagejob-redis",
            "literals": [format!("url={redis_url}")],
            "options": { "disableNameSuffixHash": true },
        }],
    });
    write_yaml(&overlay.join("kustomization.yaml"), &kustomization)?;
    cluster.kubectl(["apply", "--server-side", "-k", &overlay.display().to_string()])?;
    Ok(())
}

/// As docs/operations.md says it.
fn export_traces(collector: &str) -> Value {
    let variable = |name: &str, value: &str| {
        json!({
            "op": "add",
            "path": "/spec/template/spec/containers/0/env/-",
            "value": { "name": name, "value": value },
        })
    };
    let patch = json!([
        variable("OTEL_EXPORTER_OTLP_ENDPOINT", collector),
        variable("OTEL_BSP_SCHEDULE_DELAY", "100")
    ]);
    json!({ "target": { "kind": "Deployment" }, "patch": patch.to_string() })
}

fn write_yaml(file: &Path, value: &Value) -> Result<()> {
    fs::write(file, serde_yaml_ng::to_string(value)?).with_context(|| format!("write {}", file.display()))
}

/// The path of `to`, relative to the folder `from`; both are absolute and without links. Kustomize accepts no absolute
/// folders.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    up.chain(to.components().skip(common)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_from_one_folder_to_another() {
        let way = |from: &str, to: &str| relative(Path::new(from), Path::new(to));
        assert_eq!(way("/tmp/a", "/home/b/c"), Path::new("../../home/b/c"));
        assert_eq!(way("/a/b", "/a/c"), Path::new("../c"));
    }
}
