//! How work reaches an executor: by a bounded channel that never makes its sender wait.

use futures::{Stream, stream};
use tokio::sync::mpsc;

use super::Server;

/// The sending end of an executor.
pub(crate) struct Sender<T> {
    work: mpsc::Sender<T>,
    server: Server,
    /// The metrics' label of the executor.
    executor: &'static str,
}

// Derived, it would ask for work that can be cloned.
impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { work: self.work.clone(), server: self.server.clone(), executor: self.executor }
    }
}

impl<T> Sender<T> {
    /// One for an executor, before which at most `waiting` pieces of work wait; and the work as it comes.
    pub(super) fn new(
        server: Server,
        executor: &'static str,
        waiting: usize,
    ) -> (Self, impl Stream<Item = T>) {
        let (work, waits) = mpsc::channel(waiting);
        let waits = stream::unfold(waits, async |mut waits| Some((waits.recv().await?, waits)));
        (Self { work, server, executor }, waits)
    }

    /// One whose work the test takes.
    #[cfg(test)]
    pub(crate) fn held() -> (Self, mpsc::Receiver<T>) {
        const WAITING: usize = 64;
        let (work, waits) = mpsc::channel(WAITING);
        (Self { work, server: Server::nowhere(), executor: "held" }, waits)
    }

    /// `false`: there is too much to do; try again.
    pub(crate) fn order(&self, work: T) -> bool {
        let taken = self.work.try_send(work).is_ok();
        if !taken {
            self.server.metrics.overflows.with_label_values(&[self.executor]).inc();
        }
        taken
    }
}
