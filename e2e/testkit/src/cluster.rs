use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Weak},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::{process::Process, wait::wait_for};

const BUILD_SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../localcluster/build.sh");
const READY_DEADLINE: Duration = Duration::from_secs(90);

/// A real Kubernetes control plane for tests, with real kubelets on request; see e2e/localcluster.
#[derive(Debug)]
pub struct Cluster {
    process: Process,
    /// The folder of etcd's data, the certificates and the logs of all components.
    state: Option<TempDir>,
    binary: PathBuf,
    kubeconfig: PathBuf,
}

/// The parts of a cluster besides its control plane.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    /// Whether the cluster has one node without GPUs or taints, for Pods that are not workers.
    pub system_node: bool,
    /// The table of the programs that run in place of container images.
    pub images: Option<PathBuf>,
    /// The file with the node groups and their machines.
    pub provisioner: Option<PathBuf>,
}

impl Cluster {
    /// Starts a cluster and waits until it is ready. This takes 3 seconds, or 6 minutes the first time, when the
    /// control plane is built.
    ///
    /// # Errors
    /// If the control plane can't be built or is not ready in time; the error contains its output.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        let binary = tokio::task::spawn_blocking(build).await??;
        let state = tempfile::Builder::new().prefix("localcluster-").tempdir()?;
        let log = state.path().join("up.log");
        let process =
            Process::spawn_logged(&binary, arguments(&options, state.path()), fs::File::create(&log)?)?;
        let ready = state.path().join("ready.json");
        let up = wait_for("the cluster to be ready", READY_DEADLINE, async || {
            (ready.exists() || !process.is_running()).then_some(process.is_running())
        });
        let up = up.await;
        let said = || fs::read_to_string(&log).unwrap_or_default();
        ensure!(up.with_context(said)?, "{} ended before it was ready: {}", binary.display(), said());
        let kubeconfig = state.path().join("kubeconfig");
        Ok(Self { process, state: Some(state), binary, kubeconfig })
    }

    /// A control plane without nodes that the tests of one binary share. It ends with the last of them.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn shared() -> Result<Arc<Self>> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(running) = shared.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(Self::start(ClusterOptions::default()).await?);
        *shared = Arc::downgrade(&started);
        Ok(started)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The folder with the components' logs.
    pub fn state(&self) -> Option<&Path> {
        self.state.as_ref().map(TempDir::path)
    }

    /// The path of a kubectl of the cluster's version.
    pub fn kubectl_path(&self) -> PathBuf {
        self.binary.with_file_name("kubectl")
    }

    /// A `localcluster` command of the running version, e.g. to add or kill a node.
    pub fn command(&self) -> Command {
        Command::new(&self.binary)
    }

    /// Runs kubectl as administrator and returns its output.
    ///
    /// # Errors
    /// If kubectl fails; the error contains its output.
    pub fn kubectl<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<String> {
        let mut command = self.command();
        command.arg("kubectl").arg("--kubeconfig").arg(&self.kubeconfig).args(args);
        let output =
            command.stdin(Stdio::null()).output().with_context(|| format!("can't run {command:?}"))?;
        if !output.status.success() {
            bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.process.terminate();
        if std::thread::panicking()
            && let Some(state) = self.state.take()
        {
            let kept = state.keep();
            #[allow(clippy::print_stderr, reason = "the way to a failed test's logs")]
            {
                eprintln!("the cluster's logs are kept in {}", kept.display());
            }
        }
    }
}

/// Builds the binary unless it is there, and returns its path.
fn build() -> Result<PathBuf> {
    let output = Command::new(BUILD_SCRIPT)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("can't run {BUILD_SCRIPT}"))?;
    ensure!(output.status.success(), "{BUILD_SCRIPT} failed; its words stand above");
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim_end()))
}

fn arguments(options: &ClusterOptions, state: &Path) -> Vec<OsString> {
    let ClusterOptions { system_node, images, provisioner } = options;
    let mut args =
        vec!["up".into(), "--state".into(), state.into(), format!("--system-node={system_node}").into()];
    for (flag, file) in [("--images", images), ("--provisioner", provisioner)] {
        if let Some(file) = file {
            args.extend([flag.into(), file.into()]);
        }
    }
    args
}
