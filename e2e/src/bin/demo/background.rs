//! `make up` and `make down`: the demo's cluster, running in the background.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use e2e::Studio;
use serde::{Deserialize, Serialize};
use serde_json::json;
use testkit::wait_for;

use crate::{engine::Engine, story};

const STATE: &str = ".state";
const JOBS: &str = "manifests/overlays/example/jobs.yaml";
const START: Duration = Duration::from_secs(180);
const STOP: Duration = Duration::from_secs(30);

/// The cluster that runs in the background.
#[derive(Serialize, Deserialize)]
struct Running {
    pid: u32,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    /// The checkpoint of its engine.
    model: String,
    /// The HTTP API, and a key for it.
    api_url: String,
    api_key: String,
}

/// Starts the cluster, waits until it is ready, and prints how to use it.
pub(crate) async fn up() -> Result<()> {
    fs::create_dir_all(STATE)?;
    if let Some(running) = running()? {
        println!("It is running already.");
        tell(&running);
        return Ok(());
    }
    let log = Path::new(STATE).join("demo.log");
    let output = File::create(&log).with_context(|| format!("write {}", log.display()))?;
    let us = std::env::current_exe()?;
    // The process has its own session, so that Ctrl-C in this terminal does not reach it.
    let mut child = Command::new("setsid")
        .arg(us)
        .arg("serve")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("can't run setsid (util-linux)")?;
    println!("Starting the control plane, Redis, S3 and the operator … ({})", log.display());
    let ready = wait_for("the cluster to be ready", START, async || match child.try_wait() {
        Ok(None) => running().ok().flatten().map(Some),
        Ok(Some(_)) | Err(_) => Some(None),
    });
    match ready.await? {
        Some(running) => tell(&running),
        None => bail!("it did not start:\n{}", fs::read_to_string(log)?),
    }
    Ok(())
}

fn tell(running: &Running) {
    let Running { pid: _, kubeconfig, kubectl, model, api_url, api_key } = running;
    println!("\nTry it:\n");
    println!("  export KUBECONFIG={}", kubeconfig.display());
    println!("  alias kubectl={}", kubectl.display());
    if model == e2e::MODEL {
        println!("  kubectl apply -n studio -f {JOBS}");
    } else {
        println!("  sed 's/{}/{model}/' {JOBS} | kubectl apply -n studio -f -", e2e::MODEL);
    }
    println!("  kubectl get -n studio imagejobs,workerpools,pods --watch");
    println!("\nOr over HTTP:\n");
    println!("  export IMAGEJOB_URL={api_url}");
    println!("  export IMAGEJOB_KEY={api_key}");
    println!(
        "  curl $IMAGEJOB_URL/v1/jobs -H \"Authorization: Bearer $IMAGEJOB_KEY\" -H 'Prefer: wait=60' \\"
    );
    println!(
        "    -d '{{\"work\":{{\"textToImage\":{{\"model\":\"{model}\",\"prompt\":\"a lighthouse at dusk\"}}}}}}'"
    );
    println!("\nOr in a browser, with that key: {api_url}/");
    println!("\nStop it: make down");
}

/// The process that `up` leaves running. It runs everything until it is stopped.
pub(crate) async fn serve() -> Result<()> {
    let engine = Engine::from_environment()?;
    let world = story::world(&engine).await?;
    let _studio = Studio::open(&world, "studio", |_| ()).await?;
    world.tenant("studio", "studio", &json!({ "defaultModel": engine.model })).await?;
    let state = world.cluster.state().context("the cluster has no state folder")?;
    let running = Running {
        pid: std::process::id(),
        kubeconfig: state.join("kubeconfig"),
        kubectl: world.cluster.kubectl_path(),
        model: engine.model,
        api_url: world.api_url().await?,
        api_key: world.api_key("studio")?,
    };
    fs::write(file(), serde_json::to_vec_pretty(&running)?)?;
    let _removed = Removed;
    std::future::pending().await
}

/// Stops the cluster and waits for its end.
pub(crate) async fn down() -> Result<()> {
    let Some(running) = running()? else {
        println!("Nothing is running.");
        return Ok(());
    };
    let status = Command::new("kill").arg(running.pid.to_string()).status()?;
    ensure!(status.success(), "can't stop process {}", running.pid);
    let stopped = async || (!alive(running.pid)).then_some(());
    if wait_for("everything to stop", STOP, stopped).await.is_err() {
        // No process outlives it: its children end with it, and their children are found and killed.
        println!("It did not stop within {STOP:?}; killing it.");
        Command::new("kill").args(["-9", &running.pid.to_string()]).status()?;
        wait_for("everything to end", STOP, stopped).await?;
    }
    println!("Stopped.");
    Ok(())
}

fn file() -> PathBuf {
    Path::new(STATE).join("demo.json")
}

/// The running cluster, if there is one. A file that a crash has left does not count.
fn running() -> Result<Option<Running>> {
    let Ok(text) = fs::read_to_string(file()) else { return Ok(None) };
    let running: Running = serde_json::from_str(&text).context("read .state/demo.json")?;
    Ok(alive(running.pid).then_some(running))
}

fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("demo"))
}

/// Removes the file at the end.
struct Removed;

impl Drop for Removed {
    fn drop(&mut self) {
        // A file that stays does no harm, because its process has ended.
        let _ = fs::remove_file(file());
    }
}
