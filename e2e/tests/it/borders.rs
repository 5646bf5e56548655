//! The borders of the house: which of our crates may know which.

use std::{collections::BTreeSet, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Each crate, and whom it may depend on outside of tests.
const BORDERS: [(&str, &[&str]); 15] = [
    ("addresses", &[]),
    ("crds", &[]),
    ("policy", &[]),
    ("queue", &[]),
    ("store", &[]),
    ("media", &[]),
    ("telemetry", &[]),
    ("workflow", &["crds"]),
    ("gpu-worker", &["addresses", "media", "queue", "store", "telemetry"]),
    ("operator", &["crds", "policy", "queue", "telemetry", "workflow"]),
    ("api-server", &["addresses", "crds", "media", "queue", "store", "telemetry", "workflow"]),
    ("sim", &["policy"]),
    ("testkit", &[]),
    ("comfyui-sim", &[]),
    // Looks at deployed programs, never at their insides.
    ("e2e", &["crds", "queue", "testkit"]),
];
/// What only tests may use.
const TEST_ONLY: [&str; 2] = ["testkit", "comfyui-sim"];
/// The simulation's order of claims is held against the real one, in a test.
const HELD_AGAINST: (&str, &str) = ("sim", "queue");
/// Decisions are pure: none of these below them.
const IMPURE: [&str; 5] = ["kube", "k8s-openapi", "redis", "tokio", "reqwest"];

pub(crate) fn no_crate_knows_whom_it_should_not() -> Result<()> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let known: BTreeSet<&str> = BORDERS.iter().map(|(name, _)| *name).collect();
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    ensure!(ours == known, "crates without a border, or borders without a crate: {:?}", &ours ^ &known);
    for package in packages {
        let name = package["name"].as_str().context("a package without a name")?;
        let (_, allowed) = BORDERS.iter().find(|(of, _)| *of == name).context("checked above")?;
        for dependency in package["dependencies"].as_array().context("no dependencies")? {
            let to = dependency["name"].as_str().context("a dependency without a name")?;
            let in_tests = dependency["kind"] == "dev";
            let in_test = TEST_ONLY.contains(&to) || (name, to) == HELD_AGAINST;
            let may = allowed.contains(&to) || (in_tests && in_test);
            ensure!(may || !known.contains(to), "{name} must not depend on {to}");
            ensure!(name != "policy" || !IMPURE.contains(&to), "policy must stay pure, without {to}");
        }
    }
    Ok(())
}

fn metadata() -> Result<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let arguments = ["metadata", "--no-deps", "--format-version=1", "--offline"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root).output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}
