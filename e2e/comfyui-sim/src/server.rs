//! What the HTTP side and the side that runs prompts share.
use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
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
    options::Options,
    queue::{Incomparable, Item, Outcome, Queue},
    record::Record,
    sockets::{self, Sockets, To},
};

/// What was done so far, to count what was done twice; and what the engine keeps of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Stats {
    /// Prompts queued.
    pub prompts: u64,
    /// Prompts that ended well.
    pub succeeded: u64,
    /// Sampling steps taken.
    pub steps: u64,
    /// Checkpoints loaded.
    pub loads: u64,
    /// Prompts in the history.
    pub history: u64,
    /// Files in the output and temp folders.
    pub files: u64,
    /// Bytes of those.
    pub bytes: u64,
}

pub(crate) struct Server {
    /// Every node class and model file.
    installed: Catalog,
    pub(crate) files: Files,
    pub(crate) options: Options,
    pub(crate) record: Record,
    pub(crate) sockets: Arc<Sockets>,
    /// There may be something to run.
    pub(crate) work: Notify,
    /// Cancelled when the process "dies".
    pub(crate) down: CancellationToken,
    state: Mutex<State>,
}

pub(crate) struct State {
    /// What is there of them under the faults in force.
    catalog: Arc<Catalog>,
    pub(crate) queue: Queue,
    /// The next prompt's number.
    counter: u32,
    /// The client whose prompt runs or ran last.
    client: Option<String>,
    /// The node that runs.
    last_node: Option<String>,
    /// Asked for, and acted on at the next step or node.
    interrupted: bool,
    /// Models and results are to be dropped before the next prompt.
    pub(crate) free: bool,
    pub(crate) faults: Faults,
    pub(crate) stats: Stats,
    pub(crate) memory: Memory,
    /// A CUDA error has happened; only a restart helps.
    pub(crate) cuda_broken: bool,
}

impl Server {
    /// Also what publishes its frames, to be run.
    pub(crate) fn new(
        options: Options,
        directory: &Path,
        down: CancellationToken,
    ) -> Result<(Arc<Self>, impl Future<Output = ()> + use<>)> {
        let (sockets, publisher) = Sockets::new();
        let installed = Catalog::new(&options.models)?;
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
            memory: Memory::default(),
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

    /// What was done, and what is left of it.
    pub(crate) fn stats(&self) -> Stats {
        let (files, bytes) = self.files.kept();
        let state = self.state();
        Stats { history: state.queue.remembered() as u64, files, bytes, ..state.stats }
    }

    /// The number of a new prompt; `front` puts it before all others.
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
        // ComfyUI trips over an incomparable prompt before it tells the clients.
        result.inspect(|()| self.send_status())
    }

    /// Starts the first prompt that waits.
    pub(crate) fn start(&self) -> Option<Item> {
        let item = {
            let mut state = self.state();
            let item = state.queue.start()?;
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
        }
        self.send_status();
    }

    /// Changes the queue and tells the clients.
    pub(crate) fn change_queue(&self, change: impl FnOnce(&mut Queue)) {
        change(&mut self.state().queue);
        self.send_status();
    }

    pub(crate) fn set_last_node(&self, node: &str) {
        self.state().last_node = Some(node.to_owned());
    }

    /// Interrupts the running prompt, if it is `id` or none is named.
    pub(crate) fn interrupt(&self, id: Option<&str>) {
        let mut state = self.state();
        if id.is_none_or(|id| state.queue.is_running(id)) {
            state.interrupted = true;
        }
    }

    /// Whether to stop here; asked once.
    pub(crate) fn take_interrupt(&self) -> bool {
        std::mem::take(&mut self.state().interrupted)
    }

    /// The node classes that are there.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.state().catalog)
    }

    /// Faults in place of those in force; what they did to the sockets is undone.
    pub(crate) fn set_faults(&self, faults: Vec<Fault>) {
        self.sockets.silence(false);
        let mut state = self.state();
        state.catalog = Arc::new(self.installed.under(&faults));
        state.faults = Faults::of(faults);
    }

    /// Whether `POST /prompt` shall seem to fail.
    pub(crate) fn prompt_error(&self) -> bool {
        !self.state().faults.of_kind(|kind| *kind == FaultKind::PromptError).is_empty()
    }

    /// Whether the file that is to be written now finds no room.
    pub(crate) fn disk_full(&self) -> bool {
        !self.state().faults.of_kind(|kind| *kind == FaultKind::DiskFull).is_empty()
    }

    /// As `/prompt` and `status` frames show it.
    pub(crate) fn status(&self) -> Value {
        json!({"exec_info": {"queue_remaining": self.state().queue.remaining()}})
    }

    fn send_status(&self) {
        self.sockets.send("status", &json!({"status": self.status()}), To::Everyone);
    }

    /// The first frames of a new connection. Nothing that it missed is told again but the node that runs, and that
    /// without its prompt.
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

/// Time as the options make it pass.
pub(crate) fn scaled(time: Duration, speed: f64) -> Duration {
    if speed > 0.0 && speed.is_finite() { time.div_f64(speed) } else { Duration::ZERO }
}
