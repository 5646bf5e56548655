//! A machine of the stand: an engine and a worker, as processes that end at once when it vanishes.

use std::{ffi::OsString, fs::File, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use testkit::{Process, S3Options, free_port, wait_for};

use super::Stand;
use crate::{jobs::Studio, world::BUCKET};

const SOON: Duration = Duration::from_secs(60);

/// What is particular to a machine.
#[derive(Debug, Clone)]
pub(super) struct MachineOptions<'a> {
    /// The worker's name.
    pub(super) name: &'a str,
    /// How the worker reaches Redis.
    pub(super) redis: SocketAddr,
    /// How long a sampling step of a 512 × 512 picture takes.
    pub(super) step: Duration,
    /// Where the engine records its steps.
    pub(super) record: &'a Path,
}

/// A running machine.
#[derive(Debug)]
pub(super) struct Machine {
    engine: Process,
    worker: Process,
    health: SocketAddr,
    /// What the worker's log is called.
    log: String,
}

impl Machine {
    /// Starts one that works for a studio.
    ///
    /// # Errors
    /// When a process can't be started.
    pub(super) async fn start(
        stand: &Stand,
        studio: &Studio<'_>,
        options: &MachineOptions<'_>,
    ) -> Result<Self> {
        let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let (engine, health) = (local(free_port()?), local(free_port()?));
        let log = |of: &str| File::create(stand.world.files().join(format!("{}-{of}.log", options.name)));
        let engine_args = [
            format!("--port={}", engine.port()),
            format!("--step-ms={}", options.step.as_millis()),
            "--load-ms=300".to_owned(),
            format!("--record={}", options.record.display()),
        ];
        let program = stand.world.programs.path("comfyui-sim");
        let process = Process::spawn_logged(program, engine_args.map(OsString::from), log("engine")?)?;
        let keys = S3Options::default();
        let worker_args = [
            format!("AWS_ACCESS_KEY_ID={}", keys.access_key),
            format!("AWS_SECRET_ACCESS_KEY={}", keys.secret_key),
            "METADATA=off".to_owned(),
            stand.world.programs.path("gpu-worker").display().to_string(),
            format!("--redis=redis://{}/", options.redis),
            format!("--pool={}/sd15", studio.namespace),
            format!("--engine=http://{engine}"),
            format!("--worker-id={}", options.name),
            "--capacity=spot".to_owned(),
            format!("--bucket={BUCKET}"),
            format!("--s3-endpoint=http://{}", stand.s3().await),
            "--s3-path-style".to_owned(),
            format!("--key-prefix={}/", studio.namespace),
            format!("--listen={health}"),
        ];
        let worker = Process::spawn_logged("env", worker_args.map(OsString::from), log("worker")?)?;
        Ok(Self { engine: process, worker, health, log: format!("{}-worker", options.name) })
    }

    /// Waits until it takes tasks.
    ///
    /// # Errors
    /// When it doesn't in time.
    pub(super) async fn is_ready(&self, stand: &Stand) -> Result<()> {
        let url = format!("http://{}/readyz", self.health);
        let ready = async || reqwest::get(&url).await.ok()?.error_for_status().ok().map(drop);
        wait_for("a worker to be ready", SOON, ready).await.with_context(|| stand.log(&self.log))
    }
}

/// SIGKILLs all of these machines, as fast as it can be done.
///
/// # Errors
/// When one has ended before.
pub(super) fn vanish(machines: &[Machine]) -> Result<()> {
    for process in machines.iter().flat_map(|machine| [&machine.worker, &machine.engine]) {
        let pid = Pid::from_raw(process.pid()).context("a process has an id")?;
        kill_process(pid, Signal::KILL).context("a machine had ended before")?;
    }
    Ok(())
}
