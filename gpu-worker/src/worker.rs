use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use queue::{Queue, TaskId, WorkerId};
use store::Store;
use tokio::sync::{Notify, watch};

use crate::{
    comfyui::Engine, config::Capacity, duty::Duty, health::Health, held::Held, metrics::Metrics,
    notice::Notice,
};

/// Everything a worker consists of, as its loops share it.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) classes: Vec<String>,
    /// The model whose tasks to prefer while none is loaded.
    pub(crate) warm_model: Option<String>,
    pub(crate) capacity: Capacity,
    pub(crate) queue: Queue,
    pub(crate) store: Store,
    pub(crate) engine: Arc<Engine>,
    pub(crate) held: Held,
    pub(crate) duty: Duty,
    /// What the machine said of its end.
    pub(crate) notice: watch::Receiver<Option<Notice>>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Metrics,
    pub(crate) deaths: Deaths,
    /// The bell rang for work.
    pub(crate) work: Notify,
    /// The bell rang for an order.
    pub(crate) order: Notify,
}

/// How often the engine died under each task in a row, as far as this worker saw.
#[derive(Debug, Default)]
pub(crate) struct Deaths(Mutex<HashMap<TaskId, u32>>);

impl Deaths {
    /// More tasks than this are not remembered: they are all the machine's fault.
    const REMEMBERED: usize = 100;

    /// Once more; returns how often now.
    pub(crate) fn count(&self, task: &TaskId) -> u32 {
        let mut deaths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if deaths.len() >= Self::REMEMBERED {
            deaths.clear();
        }
        let count = deaths.entry(task.clone()).or_default();
        *count += 1;
        *count
    }

    pub(crate) fn survived(&self, task: &TaskId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(task);
    }
}
