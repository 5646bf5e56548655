use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// The time between two checks; it is short because tests are as slow as their waits.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Looks again and again until `look` finds what it looks for, and returns that.
///
/// ```no_run
/// # async fn f(stats: impl AsyncFn() -> u64) -> anyhow::Result<()> {
/// use std::time::Duration;
/// let running = testkit::wait_for("a task to run", Duration::from_secs(5), async || {
///     let running = stats().await;
///     (running > 0).then_some(running)
/// })
/// .await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// When `deadline` has passed: the error says `what` was waited for.
pub async fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("waited {deadline:?} for {what}, in vain");
        }
        sleep(LOOK_AGAIN).await;
    }
}
