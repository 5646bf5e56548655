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

/// A real Kubernetes control plane of its own, with real kubelets where asked for; see e2e/localcluster.
#[derive(Debug)]
pub struct Cluster {
    process: Process,
    /// Holds etcd's data, certificates and the logs of every component.
    state: Option<TempDir>,
    binary: PathBuf,
    kubeconfig: PathBuf,
}

/// What a cluster has besides its control plane.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    /// One node without GPUs or taints, for what is not a worker.
    pub system_node: bool,
    /// The table of programs that stand in for container images.
    pub images: Option<PathBuf>,
    /// Node groups, and how machines come and go.
    pub provisioner: Option<PathBuf>,
}

impl Cluster {
    /// Starts one and waits until it is ready: 3 seconds, or 6 minutes the first time, when it has to be built.
    ///
    /// # Errors
    /// When it can't be built or does not get ready; the error holds what it said.
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

    /// A control plane without nodes that the tests of one binary share; it ends with the last of them.
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

    /// A kubectl of the cluster's version.
    pub fn kubectl_path(&self) -> PathBuf {
        self.binary.with_file_name("kubectl")
    }

    /// A `localcluster` command of the running version, e.g. to add or kill a node.
    pub fn command(&self) -> Command {
        Command::new(&self.binary)
    }

    /// Runs kubectl as administrator and returns what it wrote.
    ///
    /// # Errors
    /// When it fails; the error holds what it said.
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
