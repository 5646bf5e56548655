//! Looks every second at whether unfinished jobs keep their promise, and wakes those of which something new is to be
//! said. What is compared lies in memory; a job in good time costs no call to anyone.

use std::{sync::Arc, time::Duration};

use crds::{ImageJob, Time};
use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::time::{MissedTickBehavior, interval};

use super::{decide::ended, promise};
use crate::context::Context;

const EVERY: Duration = Duration::from_secs(1);
/// Jobs woken at once because their promise is at risk, missed, or not at risk any more: more wait their turn, so that
/// results are not kept waiting behind them.
const VERDICTS: usize = 100;
/// Jobs woken at once because their last image should be done earlier or later than was told.
const ESTIMATES: usize = 20;

/// What is new of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Verdict,
    Estimate,
}

/// Watches until the process ends.
pub(crate) async fn watch(context: Arc<Context>) {
    context.seen.listings.complete().await;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        look(&context, Timestamp::now());
    }
}

fn look(context: &Context, now: Timestamp) {
    let (mut verdicts, mut estimates) = (0, 0);
    let promised =
        |job: &ImageJob| job.status.as_ref().is_some_and(|status| status.due_time.is_some()) && !ended(job);
    for job in context.seen.jobs.state_filter(promised) {
        let job = context.writes.latest(job);
        let woken = match news(&job, context, now) {
            Some(News::Verdict) => {
                verdicts += 1;
                verdicts <= VERDICTS
            }
            Some(News::Estimate) if context.writes.wait(&job).is_zero() => {
                estimates += 1;
                estimates <= ESTIMATES
            }
            Some(News::Estimate) | None => false,
        };
        if woken {
            context.wake.job(ObjectRef::from_obj(&*job));
        }
    }
}

fn news(job: &ImageJob, context: &Context, now: Timestamp) -> Option<News> {
    let status = job.status.as_ref().filter(|_| !ended(job))?;
    let waits = status.counts.is_none_or(|counts| counts.waiting > 0);
    let prospect = promise::prospect(job, waits, context);
    let verdict = promise::verdict(job, &prospect, now);
    if verdict.is_some_and(|verdict| Some(verdict.sla) != status.sla) {
        return Some(News::Verdict);
    }
    let done = prospect.done().map(Time);
    promise::is_news(status.estimated_completion_time.as_ref(), done.as_ref(), now).then_some(News::Estimate)
}
