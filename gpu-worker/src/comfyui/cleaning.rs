//! What the engine would keep for ever: prompts that nobody waits for, what became of those that ended, and files.
//!
//! ComfyUI has no way to delete a file. It does let a file be written anew, so each is replaced by an empty one, which
//! takes no room on the disk.

use std::{sync::PoisonError, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{Engine, Error, Mark, PromptId, engine::Whereabouts, outputs::File};

/// Between two looks at a prompt that shall stop. It stops at its next step or node.
const STOP_POLL: Duration = Duration::from_millis(250);
/// A prompt counts as gone when it was not seen so many times running: a POST may still be on its way in.
const GONE_AFTER: u32 = 2;
/// Of the prompts that ended, so many are looked through for those of a worker that is gone: it has left a few at most.
const LATEST: u32 = 16;
/// A file may be given out again for an equal node, as long as the engine has kept its result: it does so for the next
/// prompt only. By then several tasks may be on their way out, in any order.
const KEPT_FOR: u32 = 8;

/// Files that later prompts may be answered with, and how many were cleaned up after since they were last named.
#[derive(Debug, Default)]
pub(super) struct Leftovers(Vec<(File, u32)>);

impl Leftovers {
    /// What may be removed now that a prompt has ended that named these files.
    fn after(&mut self, named: Vec<File>) -> Vec<File> {
        self.0.retain(|(file, _)| !named.contains(file));
        for (_, age) in &mut self.0 {
            *age += 1;
        }
        let (old, kept) = std::mem::take(&mut self.0).into_iter().partition(|(_, age)| *age > KEPT_FOR);
        self.0 = kept;
        self.0.extend(named.into_iter().map(|file| (file, 0)));
        let old: Vec<_> = old;
        old.into_iter().map(|(file, _)| file).collect()
    }
}

impl Engine {
    /// Takes a prompt out of the engine, whatever its state, and waits until it is out; then removes what is left of
    /// it. One that is not out within `patience` hangs: every later prompt would wait behind it for ever, so the engine
    /// is [`State::Unhealthy`](super::State::Unhealthy) then.
    pub async fn clean_up(&self, id: &PromptId, patience: Duration) {
        if !self.cancel_and_wait(id, patience).await {
            self.mark_unhealthy(&format!("prompt {id} could not be stopped within {}s", patience.as_secs()));
            return;
        }
        if let Err(error) = self.remove_traces(id).await {
            tracing::debug!(%error, prompt = %id, "can't clean up after a prompt");
        }
    }

    /// An engine that can't be reached has nothing to stop; one that does not obey is waited for as long as `patience`.
    /// Returns whether the prompt is out.
    pub(super) async fn cancel_and_wait(&self, id: &PromptId, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let mut unseen = 0;
        while unseen < GONE_AFTER {
            let asked = match self.whereabouts(id).await {
                Ok(Whereabouts::Finished(_) | Whereabouts::Unreadable(_)) => return true,
                Ok(Whereabouts::Running) => self.client().interrupt(id).await,
                Ok(Whereabouts::Pending { .. }) => self.client().delete(id).await,
                Ok(Whereabouts::Nowhere) => {
                    unseen += 1;
                    Ok(())
                }
                Err(Error::NotSent { .. }) => return true,
                Err(error) => Err(error),
            };
            if let Err(error) = asked {
                tracing::debug!(%error, prompt = %id, "can't stop a prompt yet");
            }
            if Instant::now() >= end {
                return false;
            }
            sleep(STOP_POLL).await;
        }
        true
    }

    async fn remove_traces(&self, id: &PromptId) -> Result<(), Error> {
        let Some(history) = self.client().history(id).await? else { return Ok(()) };
        // Our own names are new for each prompt, so no later one is answered with such a file.
        let (ours, others) =
            history.files().into_iter().partition(|file| file.filename.contains(id.as_str()));
        let mut files: Vec<File> = ours;
        files.extend(self.leftovers.lock().unwrap_or_else(PoisonError::into_inner).after(others));
        for file in files {
            self.remove(&file).await;
        }
        self.client().forget(id).await
    }

    /// Empties a file.
    pub(super) async fn remove(&self, file: &File) {
        if let Err(error) = self.client().upload(file, Bytes::new()).await {
            tracing::debug!(%error, file = file.filename, "can't remove a file from the engine");
        }
    }

    /// The prompts of workers of our pool in the engine's queue.
    ///
    /// # Errors
    /// When the engine does not tell.
    pub async fn marked(&self) -> Result<Vec<(PromptId, Mark)>, Error> {
        let queue = self.client().queue().await?;
        let entries = queue.running.into_iter().chain(queue.pending);
        let marked = entries.filter_map(|entry| Some((PromptId::from(entry.id.as_str()), entry.mark?)));
        Ok(marked.filter(|(_, mark)| mark.pool == self.mark().pool).collect())
    }

    /// The same, of those that have ended.
    ///
    /// # Errors
    /// When the engine does not tell.
    pub async fn marked_ended(&self) -> Result<Vec<(PromptId, Mark)>, Error> {
        let histories = self.client().histories(LATEST).await?;
        let marked = histories.into_iter().filter_map(|(id, history)| Some((id, history.mark()?.clone())));
        Ok(marked.filter(|(_, mark)| mark.pool == self.mark().pool).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{File, KEPT_FOR, Leftovers};

    fn file(name: &str) -> File {
        File { filename: name.into(), subfolder: String::new(), kind: "temp".into() }
    }

    #[test]
    fn a_file_that_may_be_given_out_again_is_kept_for_a_while() {
        let mut leftovers = Leftovers::default();
        assert_eq!(leftovers.after(vec![file("a")]), []);
        for _ in 0..3 * KEPT_FOR {
            assert_eq!(leftovers.after(vec![file("a")]), [], "it is named each time");
        }
        for _ in 0..KEPT_FOR {
            assert_eq!(leftovers.after(vec![]), []);
        }
        assert_eq!(leftovers.after(vec![]), [file("a")]);
        assert_eq!(leftovers.after(vec![]), []);
    }
}
