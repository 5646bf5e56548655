//! The state that the HTTP server and the prompt runner share.
use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use axum::extract::ws::Message;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::Catalog,
    faults::{Fault, FaultKind, Faults},
    files::Files,
    memory::Memory,
    nodes::Spoilt,
    options::Options,
    queue::{Incomparable, Item, Outcome, Queue},
    record::Record,
    samplings::Samplings,
    sockets::{self, Sockets, To},
};

/// Counts of the work done so far, which show work that was done twice, and of what the engine keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Stats {
    /// The number of prompts that were queued.
    pub prompts: u64,
    /// The number of prompts that succeeded.
    pub succeeded: u64,
    /// The number of sampling steps.
    pub steps: u64,
    /// The number of checkpoint loads.
    pub loads: u64,
    /// The number of files that were uploaded.
    pub uploads: u64,
    /// The number of prompts in the history.
    pub history: u64,
    /// The number of files in the output and temp folders.
    pub files: u64,
    /// The total bytes of these files.
    pub bytes: u64,
}

/// So many of the latest gaps are remembered.
const GAPS: usize = 4096;

pub(crate) struct Server {
    /// All node classes and model files.
    installed: Catalog,
    pub(crate) files: Files,
    pub(crate) options: Options,
    pub(crate) record: Record,
    pub(crate) sockets: Arc<Sockets>,
    /// Notifies the runner of a new prompt.
    pub(crate) work: Notify,
    /// Cancelled when the simulated process dies.
    pub(crate) down: CancellationToken,
    state: Mutex<State>,
}

pub(crate) struct State {
    /// The node classes and model files that the active faults leave.
    catalog: Arc<Catalog>,
    pub(crate) queue: Queue,
    /// The number of the next prompt.
    counter: u32,
    /// The client of the running or last prompt.
    client: Option<String>,
    /// The running node.
    last_node: Option<String>,
    /// Whether an interrupt was requested; it takes effect at the next step or node.
    interrupted: bool,
    /// Whether models and results are dropped before the next prompt.
    pub(crate) free: bool,
    pub(crate) faults: Faults,
    pub(crate) stats: Stats,
    /// When the last prompt ended, until the next one begins.
    ended: Option<Instant>,
    gaps: VecDeque<Duration>,
    pub(crate) memory: Memory,
    pub(crate) samplings: Samplings,
    /// Whether a CUDA error has happened; only a restart helps.
    pub(crate) cuda_broken: bool,
}

impl Server {
    /// Creates the state, and the future that publishes its frames.
    pub(crate) fn new(
        options: Options,
        directory: &Path,
        down: CancellationToken,
    ) -> Result<(Arc<Self>, impl Future<Output = ()> + use<>)> {
        let (sockets, publisher) = Sockets::new();
        let installed = Catalog::new(options.release, &options.models)?;
        let state = State {
            catalog: Arc::new(installed.under(&options.faults)),
            queue: Queue::default(),
            counter: 0,
            client: None,
            last_node: None,
            interrupted: false,
            free: false,
            faults: Faults::of(options.faults.clone()),
            stats: Stats::default(),
            ended: None,
            gaps: VecDeque::new(),
            memory: Memory::default(),
            samplings: Samplings::default(),
            cuda_broken: false,
        };
        let server = Self {
            installed,
            files: Files::new(directory, &options.folders, options.machine.disk)?,
            record: Record::open(options.record.as_deref())?,
            options,
            sockets,
            work: Notify::new(),
            down,
            state: Mutex::new(state),
        };
        Ok((Arc::new(server), publisher))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counts of the work and of what the engine keeps.
    pub(crate) fn stats(&self) -> Stats {
        let (files, bytes) = self.files.kept();
        let state = self.state();
        Stats { history: state.queue.remembered() as u64, files, bytes, ..state.stats }
    }

    /// The number of a new prompt; with `front` it is lower than all others.
    pub(crate) fn next_number(&self, front: bool) -> f64 {
        let mut state = self.state();
        let number = f64::from(state.counter);
        state.counter += 1;
        if front { -number } else { number }
    }

    pub(crate) fn put(&self, item: Item) -> Result<(), Incomparable> {
        let result = {
            let mut state = self.state();
            state.stats.prompts += 1;
            state.queue.put(item)
        };
        self.work.notify_one();
        // ComfyUI fails on an incomparable prompt before it informs the clients.
        result.inspect(|()| self.send_status())
    }

    /// Starts the first waiting prompt.
    pub(crate) fn start(&self) -> Option<Item> {
        let item = {
            let mut state = self.state();
            let item = state.queue.start()?;
            if let Some(ended) = state.ended.take() {
                if state.gaps.len() == GAPS {
                    state.gaps.pop_front();
                }
                state.gaps.push_back(ended.elapsed());
            }
            state.client = item.client().cloned();
            state.interrupted = false;
            item
        };
        self.send_status();
        Some(item)
    }

    pub(crate) fn finish(&self, outcome: Outcome) {
        {
            let mut state = self.state();
            state.last_node = None;
            state.stats.succeeded += u64::from(outcome.success);
            state.queue.finish(outcome);
            state.ended = Some(Instant::now());
        }
        self.send_status();
    }

    /// How long the engine idled between two prompts, since this was asked last.
    pub(crate) fn take_gaps(&self) -> Vec<Duration> {
        self.state().gaps.drain(..).collect()
    }

    /// Changes the queue and informs the clients.
    pub(crate) fn change_queue(&self, change: impl FnOnce(&mut Queue)) {
        change(&mut self.state().queue);
        self.send_status();
    }

    pub(crate) fn set_last_node(&self, node: &str) {
        self.state().last_node = Some(node.to_owned());
    }

    /// Interrupts the running prompt if it is `id`, or if no id is given.
    pub(crate) fn interrupt(&self, id: Option<&str>) {
        let mut state = self.state();
        if id.is_none_or(|id| state.queue.is_running(id)) {
            state.interrupted = true;
        }
    }

    /// Whether the prompt has to stop here. The request is used up.
    pub(crate) fn take_interrupt(&self) -> bool {
        std::mem::take(&mut self.state().interrupted)
    }

    /// The available node classes.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.state().catalog)
    }

    /// Replaces the active faults and undoes their effects on the sockets.
    pub(crate) fn set_faults(&self, faults: Vec<Fault>) {
        self.sockets.silence(false);
        let mut state = self.state();
        state.catalog = Arc::new(self.installed.under(&faults));
        state.faults = Faults::of(faults);
    }

    /// Whether `POST /prompt` answers with an error.
    pub(crate) fn prompt_error(&self) -> bool {
        !self.state().faults.of_kind(|kind| *kind == FaultKind::PromptError).is_empty()
    }

    /// Whether the next file does not fit on the disk.
    pub(crate) fn disk_full(&self) -> bool {
        !self.state().faults.of_kind(|kind| *kind == FaultKind::DiskFull).is_empty()
    }

    /// What happens to the next node's files.
    pub(crate) fn spoilt(&self) -> Option<Spoilt> {
        let spoils = |kind: &FaultKind| matches!(kind, FaultKind::HalfFile | FaultKind::EmptyFile);
        self.state().faults.of_kind(spoils).pop().map(|kind| match kind {
            FaultKind::HalfFile => Spoilt::Half,
            _ => Spoilt::Nothing,
        })
    }

    /// The status that `/prompt` and `status` frames show.
    pub(crate) fn status(&self) -> Value {
        json!({"exec_info": {"queue_remaining": self.state().queue.remaining()}})
    }

    fn send_status(&self) {
        self.sockets.send("status", &json!({"status": self.status()}), To::Everyone);
    }

    /// The first frames of a new connection. Missed frames are not sent again; only the running node is, without its
    /// prompt.
    pub(crate) fn greeting(&self, client: &str) -> Vec<Message> {
        let mut frames = vec![sockets::text("status", &json!({"status": self.status(), "sid": client}))];
        let state = self.state();
        if let (Some(node), Some(running)) = (&state.last_node, &state.client)
            && running == client
        {
            frames.push(sockets::text("executing", &json!({"node": node})));
        }
        frames
    }
}

/// The duration at this speed.
pub(crate) fn scaled(time: Duration, speed: f64) -> Duration {
    if speed > 0.0 && speed.is_finite() { time.div_f64(speed) } else { Duration::ZERO }
}
