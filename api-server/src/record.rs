//! Notes what jobs count for their tenants' limits, as the watch shows them. Every replica does: to note the same again
//! changes nothing, and so Redis is filled again when it was lost.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use crate::{
    cache::{Cache, Job},
    limits::Limits,
};

/// Between two looks whether tenants and jobs are listed.
const LISTED: Duration = Duration::from_millis(100);
/// After a try that failed.
const RETRY: Duration = Duration::from_secs(2);
/// Older jobs count nowhere any more.
const COUNTS_FOR_SECONDS: i64 = 40 * 86_400;

/// Notes jobs of tenants as they change, for ever.
pub(crate) async fn run(limits: &Limits, cache: &Cache) {
    while !cache.watches.missing().is_empty() {
        sleep(LISTED).await;
    }
    let counts = |job: &Job, oldest: i64| {
        let tenant = cache.tenants.get(&job.tenant);
        tenant.is_some_and(|tenant| tenant.spec.namespace == job.namespace) && job.created_second() >= oldest
    };
    loop {
        let oldest = Timestamp::now().as_second() - COUNTS_FOR_SECONDS;
        for job in cache.jobs.changed().await {
            while counts(&job, oldest)
                && let Err(error) = limits.record(&job).await
            {
                tracing::warn!(%error, "what jobs count can't be noted; it is tried again");
                sleep(RETRY).await;
            }
        }
    }
}
