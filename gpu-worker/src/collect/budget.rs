use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The budget is counted in so many bytes.
const PAGE: u32 = 4096;
/// The pixels of so many pictures are looked at at once: they take memory beside the budget, up to ten times what the
/// file takes.
const AT_ONCE: usize = 2;

/// Memory for files that are on their way from the engine to the bucket, over all tasks. A file that is larger than all of
/// it is not held: see [`Reread`](super::reread::Reread).
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    pages: Arc<Semaphore>,
    total: u32,
    turns: Arc<Semaphore>,
}

impl Budget {
    pub(crate) fn new(mebibytes: u32) -> Self {
        let total = mebibytes.saturating_mul((1 << 20) / PAGE);
        Self {
            pages: Arc::new(Semaphore::new(total as usize)),
            total,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Waits until there is room. `None`: it never will be. Of an unknown size it takes all there is.
    pub(super) async fn take(&self, bytes: Option<u64>) -> Option<OwnedSemaphorePermit> {
        let pages =
            bytes.map_or(Some(self.total), |bytes| u32::try_from(bytes.div_ceil(PAGE.into())).ok())?;
        if pages > self.total {
            return None;
        }
        self.pages.clone().acquire_many_owned(pages.max(1)).await.ok()
    }

    /// Waits for one's turn to look at pixels.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.turns.clone().acquire_owned().await.ok()
    }

    /// All of it.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.total) * u64::from(PAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, PAGE};

    #[tokio::test]
    async fn what_is_larger_than_the_budget_never_fits_and_the_rest_waits() {
        let budget = Budget::new(1);
        assert!(budget.take(Some((1 << 20) + 1)).await.is_none());
        let all = budget.take(Some(1 << 20)).await.expect("it fits");
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.take(Some(PAGE.into())).await.is_some() }
        });
        assert_eq!(budget.pages.available_permits(), 0);
        drop(all);
        assert!(waiting.await.expect("it ends"));
        let unknown = budget.take(None).await.expect("it fits");
        assert_eq!(budget.pages.available_permits(), 0);
        drop(unknown);
    }
}
