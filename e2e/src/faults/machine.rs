//! A machine of the stand: an engine and a worker, as processes that end at once when it vanishes.

use std::{
    ffi::OsString,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::{TryStreamExt as _, stream::FuturesUnordered};
use rustix::process::{Pid, Signal, kill_process};
use testkit::{Process, S3Options, free_port, wait_for};
use tokio_util::task::AbortOnDropHandle;

use super::Stand;
use crate::{jobs::Studio, world::BUCKET};

const SOON: Duration = Duration::from_secs(60);
/// A kubelet starts a container again after a second at the earliest.
const RESTARTED_AFTER: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

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
    /// More of the engine's arguments.
    pub(super) engine: &'a [&'a str],
}

/// A running machine.
#[derive(Debug)]
pub(super) struct Machine {
    engine: Engine,
    worker: Process,
    health: SocketAddr,
    /// What its worker calls itself.
    name: String,
}

/// An engine, which is started again when it ends.
#[derive(Debug)]
struct Engine {
    process: Arc<Mutex<Process>>,
    deaths: Arc<AtomicU32>,
    keeper: AbortOnDropHandle<()>,
}

/// How to start an engine.
#[derive(Debug, Clone)]
struct Start {
    program: PathBuf,
    args: Vec<OsString>,
    log: PathBuf,
}

impl Start {
    fn start(&self) -> Result<Process> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        Process::spawn_logged(&self.program, self.args.clone(), log)
    }
}

impl Engine {
    fn start(start: Start) -> Result<Self> {
        let process = Arc::new(Mutex::new(start.start()?));
        let deaths = Arc::<AtomicU32>::default();
        let keeper = keep(start, Arc::clone(&process), Arc::clone(&deaths));
        Ok(Self { process, deaths, keeper: AbortOnDropHandle::new(tokio::spawn(keeper)) })
    }
}

async fn keep(start: Start, process: Arc<Mutex<Process>>, deaths: Arc<AtomicU32>) {
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        if lock(&process).is_running() {
            continue;
        }
        deaths.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(RESTARTED_AFTER).await;
        match start.start() {
            Ok(again) => *lock(&process) = again,
            Err(error) => tracing::error!(%error, "an engine can't be started again"),
        }
    }
}

fn lock(process: &Mutex<Process>) -> MutexGuard<'_, Process> {
    process.lock().unwrap_or_else(PoisonError::into_inner)
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
        let (address, health) = (local(free_port()?), local(free_port()?));
        let log = |of: &str| stand.world.files().join(format!("{}-{of}.log", options.name));
        let engine_args = [
            format!("--port={}", address.port()),
            format!("--step-ms={}", options.step.as_millis()),
            "--load-ms=300".to_owned(),
            format!("--record={}", options.record.display()),
        ];
        let more = options.engine.iter().map(OsString::from);
        let engine = Engine::start(Start {
            program: stand.world.programs.path("comfyui-sim"),
            args: engine_args.map(OsString::from).into_iter().chain(more).collect(),
            log: log("engine"),
        })?;
        let keys = S3Options::default();
        let worker_args = [
            format!("AWS_ACCESS_KEY_ID={}", keys.access_key),
            format!("AWS_SECRET_ACCESS_KEY={}", keys.secret_key),
            "METADATA=off".to_owned(),
            stand.world.programs.path("gpu-worker").display().to_string(),
            format!("--redis=redis://{}/", options.redis),
            format!("--pool={}/sd15", studio.namespace),
            format!("--engine=http://{address}"),
            format!("--worker-id={}", options.name),
            "--capacity=spot".to_owned(),
            format!("--bucket={BUCKET}"),
            format!("--s3-endpoint=http://{}", stand.s3().await),
            "--s3-path-style".to_owned(),
            format!("--key-prefix={}/", studio.namespace),
            format!("--listen={health}"),
        ];
        let worker =
            Process::spawn_logged("env", worker_args.map(OsString::from), File::create(log("worker"))?)?;
        Ok(Self { engine, worker, health, name: options.name.to_owned() })
    }

    /// Starts so many at once, named `{name}-{n}`, and waits until all take tasks.
    ///
    /// # Errors
    /// When one doesn't in time.
    pub(super) async fn start_many(
        stand: &Stand,
        studio: &Studio<'_>,
        options: &MachineOptions<'_>,
        count: usize,
    ) -> Result<Vec<Self>> {
        let start = |n: usize| async move {
            let name = format!("{}-{n}", options.name);
            let machine =
                Self::start(stand, studio, &MachineOptions { name: &name, ..options.clone() }).await?;
            machine.is_ready(stand).await?;
            anyhow::Ok(machine)
        };
        (0..count).map(start).collect::<FuturesUnordered<_>>().try_collect().await
    }

    /// What its worker calls itself.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How often its engine ended.
    pub(super) fn deaths(&self) -> u32 {
        self.engine.deaths.load(Ordering::Relaxed)
    }

    /// Whether its worker still runs.
    pub(super) fn works(&self) -> bool {
        self.worker.is_running()
    }

    /// Waits until it takes tasks.
    ///
    /// # Errors
    /// When it doesn't in time.
    pub(super) async fn is_ready(&self, stand: &Stand) -> Result<()> {
        let url = format!("http://{}/readyz", self.health);
        let ready = async || reqwest::get(&url).await.ok()?.error_for_status().ok().map(drop);
        wait_for("a worker to be ready", SOON, ready)
            .await
            .with_context(|| stand.log(&format!("{}-worker", self.name)))
    }
}

/// SIGKILLs all of these machines, as fast as it can be done.
///
/// # Errors
/// When one has ended before.
pub(super) fn vanish(machines: &[Machine]) -> Result<()> {
    for machine in machines {
        machine.engine.keeper.abort();
        for pid in [machine.worker.pid(), lock(&machine.engine.process).pid()] {
            let pid = Pid::from_raw(pid).context("a process has an id")?;
            kill_process(pid, Signal::KILL).context("a machine had ended before")?;
        }
    }
    Ok(())
}
