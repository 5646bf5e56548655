use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{Fault, FaultKind, InputFile, Options, Stats, http, run, server::Server};

/// A running simulator. It has its own thread and runtime; dropping it is like killing a process.
#[derive(Debug)]
pub struct Sim {
    options: Options,
    address: SocketAddr,
    directory: PathBuf,
    life: Life,
    _dir: Option<TempDir>,
}

/// The simulator from one start to its end.
struct Life {
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Life").finish_non_exhaustive()
    }
}

impl Sim {
    /// Starts a simulator, which accepts connections at once.
    ///
    /// # Errors
    /// If its directory can't be made or its port can't be opened.
    pub fn start(options: Options) -> Result<Self> {
        let (dir, directory) = match &options.base_directory {
            Some(directory) => (None, directory.clone()),
            None => {
                let dir = tempfile::Builder::new().prefix("comfyui-sim-").tempdir()?;
                let directory = dir.path().to_owned();
                (Some(dir), directory)
            }
        };
        let (life, address) = Life::begin(&options, options.listen, &directory)?;
        Ok(Self { options, address, directory, life, _dir: dir })
    }

    /// `http://127.0.0.1:…`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address on which the simulator listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the active faults.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.life.server.set_faults(faults);
    }

    /// Whether a fault makes the simulator ignore SIGTERM.
    pub fn ignores_sigterm(&self) -> bool {
        self.life.server.state().faults.has(&FaultKind::IgnoreSigterm)
    }

    /// Counts of the work since the last start.
    pub fn stats(&self) -> Stats {
        self.life.server.stats()
    }

    /// The files that are in the input folder now, and below it.
    pub fn inputs(&self) -> Vec<InputFile> {
        self.life.server.files.inputs()
    }

    /// What was sampled since the last start, the latest 256 at most: model, words, seed, strength and so on, as
    /// `GET /sim/samplings` shows it.
    pub fn samplings(&self) -> Vec<Value> {
        self.life.server.state().samplings.list()
    }

    /// How long the GPU idled between each prompt and the next, since this was asked last; the latest 4,096 at most.
    pub fn take_gaps(&self) -> Vec<Duration> {
        self.life.server.take_gaps()
    }

    /// Whether the simulator runs: it was not stopped and no fault crashed it.
    pub fn is_running(&self) -> bool {
        !self.life.server.down.is_cancelled()
    }

    /// Returns when the simulator has ended.
    pub async fn ended(&self) {
        self.life.server.down.cancelled().await;
    }

    /// Ends the simulator as SIGKILL or SIGTERM does: connections close without a message, and queue and history are
    /// lost. Files stay.
    pub fn stop(&mut self) {
        self.life.end();
    }

    /// Starts the simulator again on the same address, like a container that is restarted. A running simulator is
    /// stopped first.
    ///
    /// # Errors
    /// If another process has taken the port.
    pub fn restart(&mut self) -> Result<()> {
        self.life.end();
        self.life = Life::begin(&self.options, self.address, &self.directory)?.0;
        Ok(())
    }
}

impl Life {
    fn begin(
        options: &Options,
        listen: SocketAddr,
        directory: &std::path::Path,
    ) -> Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(listen).with_context(|| format!("can't listen on {listen}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let down = CancellationToken::new();
        let (server, publisher) = Server::new(options.clone(), directory, down.clone())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let of_thread = server.clone();
        let thread = thread::Builder::new().name("comfyui-sim".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::spawn(publisher);
                tokio::spawn(run::run(of_thread.clone()));
                let serving = axum::serve(listener, http::router(of_thread)).into_future();
                tokio::select! {
                    _ = serving => {}
                    () = down.cancelled() => {}
                }
            });
            // The runtime is dropped here, and every connection with it.
        })?;
        Ok((Self { server, thread: Some(thread) }, address))
    }

    fn end(&mut self) {
        self.server.down.cancel();
        if let Some(thread) = self.thread.take() {
            // If the thread panicked, its connections are closed as well.
            let _ = thread.join();
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.end();
    }
}
