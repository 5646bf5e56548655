//! Has Redis lost anything?

use crate::{Epoch, Queue, Result, ServerRun};

impl Queue {
    /// Whether this is still the Redis of the last [`set_epoch`](Self::set_epoch), without a restart, a
    /// failover or a flush in between.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn epoch(&self) -> Result<Epoch> {
        let (stored, run): (Option<String>, String) = self.run(|s| &s.epoch, |_| {}).await?;
        Ok(if stored.as_ref() == Some(&run) { Epoch::Same } else { Epoch::Changed(ServerRun(run)) })
    }

    /// Every unfinished job was enqueued since [`epoch`](Self::epoch) returned this run.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn set_epoch(&self, run: &ServerRun) -> Result<()> {
        let fill = |call: &mut redis::Cmd| {
            call.arg(&run.0);
        };
        self.run_fenced(|s| &s.set_epoch, fill).await
    }
}
