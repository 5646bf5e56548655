use std::sync::Arc;

use queue::{Queue, WorkerId};
use store::Store;
use tokio::sync::{Notify, watch};

use crate::{
    collect::Budget, comfyui::Engine, config::Capacity, duty::Duty, health::Health, held::Held,
    inputs::Inputs, metrics::Metrics, notice::Notice,
};

/// Everything a worker consists of, as its loops share it.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    /// `namespace/name`
    pub(crate) pool: String,
    /// The model whose tasks to prefer while none is loaded.
    pub(crate) warm_model: Option<String>,
    pub(crate) capacity: Capacity,
    pub(crate) queue: Queue,
    pub(crate) store: Store,
    pub(crate) engine: Arc<Engine>,
    pub(crate) budget: Budget,
    pub(crate) inputs: Inputs,
    pub(crate) held: Held,
    pub(crate) duty: Duty,
    /// What the machine said of its end.
    pub(crate) notice: watch::Receiver<Option<Notice>>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Metrics,
    /// The bell rang for work.
    pub(crate) work: Notify,
    /// The bell rang for an order.
    pub(crate) order: Notify,
}
