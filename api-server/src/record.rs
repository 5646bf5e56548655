//! Notes what jobs count for their tenants' limits, as the watch shows them. Every replica does: to note the same again
//! changes nothing, and so Redis is filled again when it was lost.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use crate::{
    app::App,
    cache::{Job, Tenant},
};

/// Between two looks whether tenants and jobs are listed.
const LISTED: Duration = Duration::from_millis(100);
/// After a try that failed.
const RETRY: Duration = Duration::from_secs(2);
/// Older jobs count nowhere any more.
const COUNTS_FOR_SECONDS: i64 = 40 * 86_400;

/// Notes jobs of tenants as they change, and who is to be told of that, for ever.
pub(crate) async fn run(app: &App) {
    let cache = &app.cache;
    while !cache.watches.missing().is_empty() {
        sleep(LISTED).await;
    }
    loop {
        for job in cache.jobs.changed().await {
            let tenant = cache.tenants.get(&job.tenant);
            let Some(tenant) = tenant.filter(|tenant| tenant.spec.namespace == job.namespace) else {
                continue;
            };
            while let Err(error) = note(app, &tenant, &job).await {
                tracing::warn!(%error, "what jobs count, and who is told of them, can't be noted; it is tried again");
                sleep(RETRY).await;
            }
        }
    }
}

async fn note(app: &App, tenant: &Tenant, job: &Job) -> queue::Result<()> {
    if job.created_second() >= Timestamp::now().as_second() - COUNTS_FOR_SECONDS {
        app.limits.record(job).await?;
    }
    app.webhooks.note(app, tenant, job).await
}
