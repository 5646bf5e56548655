//! Prompts in the engine that a worker has left behind: killed, it can't take them back, and all that comes later waits
//! behind them for a picture that nobody waits for. Only prompts that carry the mark of this pool are touched.

use std::{collections::HashSet, sync::Arc, time::Duration};

use queue::LEASE;
use tokio::time::sleep;

use crate::{
    comfyui::{Error, Mark, PromptId, State},
    worker::Worker,
};

/// A prompt stops at its next step or node.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// While another worker's prompt is in the engine and it is not known yet whether that worker lives, or while ours
/// wait there.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Whose a prompt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// This process.
    Us,
    /// A worker that holds its leases no more.
    Gone,
    /// A worker that lives: the engine is shared.
    Other,
}

/// Clears what is left of workers that are gone: once the engine is up, and while a prompt of ours waits in it.
pub(crate) async fn watch(worker: Arc<Worker>) {
    let mut engine = worker.engine.state();
    let mut changes = worker.held.changes();
    loop {
        let is_up = engine.wait_for(|state| matches!(state, State::Up(_))).await.is_ok();
        if !is_up {
            return;
        }
        let unknown = match clear(&worker).await {
            Ok(others) => others,
            Err(error) => {
                tracing::debug!(%error, "can't see whether prompts were left behind in the engine");
                true
            }
        };
        if unknown || worker.held.is_waiting() {
            sleep(LOOK_AGAIN).await;
            continue;
        }
        let waiting = async { changes.wait_for(|_| worker.held.is_waiting()).await.is_ok() };
        tokio::select! {
            _ = waiting => sleep(LOOK_AGAIN).await,
            _ = engine.changed() => {}
        }
    }
}

/// Clears what this worker itself, before it was restarted, has left behind. Its leases have not ended yet as a rule,
/// but nobody works on them.
pub(crate) async fn clear_own(worker: &Worker) {
    let is_own = |mark: &Mark| mark.worker == worker.id.0;
    let left = async {
        let mut left = worker.engine.marked().await?;
        left.extend(worker.engine.marked_ended().await?);
        Ok::<_, Error>(left)
    };
    match left.await {
        Ok(left) => remove(worker, left.into_iter().filter(|(_, mark)| is_own(mark))).await,
        Err(error) => tracing::debug!(%error, "can't see whether prompts were left behind in the engine"),
    }
}

/// Returns whether prompts of other workers are left.
async fn clear(worker: &Worker) -> Result<bool, Error> {
    let ours: HashSet<PromptId> = worker.held.prompts().into_iter().collect();
    let marked = worker.engine.marked().await?;
    let foreign: Vec<_> = marked.into_iter().filter(|(id, _)| !ours.contains(id)).collect();
    if foreign.is_empty() {
        return Ok(false);
    }
    let Some(living) = living(worker).await else { return Ok(true) };
    let owner = |id: &PromptId, mark: &Mark| {
        if mark.worker == worker.id.0 {
            // One that came in while we looked.
            if worker.held.prompts().contains(id) { Owner::Us } else { Owner::Gone }
        } else if living.contains(&mark.worker) {
            Owner::Other
        } else {
            Owner::Gone
        }
    };
    let (gone, others): (Vec<_>, Vec<_>) =
        foreign.into_iter().partition(|(id, mark)| owner(id, mark) == Owner::Gone);
    remove(worker, gone.into_iter()).await;
    Ok(!others.is_empty())
}

async fn remove(worker: &Worker, left: impl Iterator<Item = (PromptId, Mark)>) {
    for (id, mark) in left {
        tracing::info!(prompt = %id, left_by = mark.worker, "removing a prompt that a worker left behind");
        worker.engine.clean_up(&id, STOP_PATIENCE).await;
    }
}

/// The workers that still hold their leases; `None` if the queue does not say.
async fn living(worker: &Worker) -> Option<HashSet<String>> {
    let stats = worker.queue.stats().await.ok()?;
    let lease_ms = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
    let lives = |seen_ms: u64| stats.now_ms.saturating_sub(seen_ms) <= lease_ms;
    let living = stats.workers.iter().filter(|other| lives(other.seen_ms));
    Some(living.map(|other| other.worker.0.clone()).collect())
}
