//! Builds the programs under test from this checkout.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// The packages that `make` selects. With other packages Cargo selects other features and compiles all dependencies
/// again.
const PACKAGES: [&str; 5] = ["--workspace", "--exclude", "e2e", "--exclude", "sim"];
/// The programs that run in Pods.
const PROGRAMS: [&str; 4] = ["--bin=operator", "--bin=gpu-worker", "--bin=api-server", "--bin=comfyui-sim"];

/// The folder of the built programs.
#[derive(Debug, Clone)]
pub struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// Builds the programs in the profile of this program. It returns at once if they are up to date.
    ///
    /// # Errors
    /// If they do not compile.
    pub fn build() -> Result<Self> {
        let directory = beside_us()?;
        let profile = match directory.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev".to_owned(),
            Some(profile) => profile.to_owned(),
        };
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(workspace()).args(["build", "--quiet", "--profile", &profile]);
        command.args(PACKAGES).args(PROGRAMS);
        let status = command.status().with_context(|| format!("can't run {command:?}"))?;
        ensure!(status.success(), "{command:?} failed; its words stand above");
        Ok(Self { directory })
    }

    /// The path of a program.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// The root of the checkout.
pub(crate) fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The folder of the built programs: a program is in target/PROFILE, a test in target/PROFILE/deps.
fn beside_us() -> Result<PathBuf> {
    let us = env::current_exe().context("where are we?")?;
    let directory = us.parent().context("we are in no directory")?;
    let deps = directory.file_name().is_some_and(|name| name == "deps");
    Ok(if deps { directory.parent().unwrap_or(directory) } else { directory }.to_owned())
}
