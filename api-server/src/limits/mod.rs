//! How much tenants may ask for. Counted in Redis, so that all replicas share it, and filled again from the ImageJobs: each
//! job is noted by its name, and to note it again changes nothing.

mod local;

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use crds::Money;
use jiff::{Timestamp, tz::TimeZone};
use queue::Redis;
use redis::Script;
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    auth::Caller,
    cache::{Cache, Job, Tenant},
    error::Error,
};

use local::LocalRates;

/// A script, with what all begin with.
macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| Script::new(concat!(include_str!("note.lua"), include_str!($file))))
    };
}

static ADMIT: LazyLock<Script> = script!("admit.lua");
static RECORD: LazyLock<Script> = script!("record.lua");
static FORGET: LazyLock<Script> = script!("forget.lua");

/// So many seconds' worth of requests may come at once.
pub(crate) const BURST_SECONDS: u32 = 10;
/// For Redis' answer; a request does not wait for it any longer.
const ANSWER: Duration = Duration::from_millis(500);
/// When to ask again where a limit of jobs is reached.
const JOBS_RETRY: Duration = Duration::from_secs(15);
/// When to ask again where money is limited and nobody can tell what was spent.
const UNKNOWN_RETRY: Duration = Duration::from_secs(5);

/// The limits of tenants. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Limits {
    redis: Redis,
    cache: Cache,
    local: Arc<LocalRates>,
}

/// A job that is to be created.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewJob<'a> {
    pub(crate) name: &'a str,
    pub(crate) images: u32,
}

/// A request that may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Admitted {
    /// Whether its job was noted, and not before.
    pub(crate) noted: bool,
    pub(crate) left: Option<Left>,
}

/// What of the limit of requests is left, for headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) per_second: u32,
    pub(crate) requests: u64,
}

impl Left {
    /// How many requests there are when none was used.
    pub(crate) fn all(self) -> u64 {
        u64::from(self.per_second) * u64::from(BURST_SECONDS)
    }

    /// After so many seconds there are all again.
    pub(crate) fn resets_in_seconds(self) -> u64 {
        self.all().saturating_sub(self.requests).div_ceil(self.per_second.max(1).into())
    }
}

/// What was used in a time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Usage {
    pub(crate) jobs: u64,
    pub(crate) images: u64,
    /// The cost of the images' GPU time, by the pools' prices.
    pub(crate) amount: Money,
}

/// The hashes of a tenant that a moment counts in.
struct Periods {
    day: String,
    month: String,
}

impl Periods {
    fn of(tenant: &str, at: Timestamp) -> Self {
        let date = at.to_zoned(TimeZone::UTC).date();
        Self {
            day: day_key(tenant, date),
            month: format!("ija:{{{tenant}}}:month:{}", date.strftime("%Y-%m")),
        }
    }
}

/// Tenants' names have no braces, so each tenant's keys are in one slot of a Cluster.
fn day_key(tenant: &str, date: jiff::civil::Date) -> String {
    format!("ija:{{{tenant}}}:day:{date}")
}

impl Limits {
    pub(crate) fn new(redis: Redis, cache: Cache) -> Self {
        Self { redis, cache, local: Arc::default() }
    }

    /// Whether a request may go on. One that creates a job is noted with it at once; see [`forget`](Self::forget).
    ///
    /// While Redis is away each replica holds tenants to their rate by itself; a tenant whose money is limited can create
    /// no job, since nobody can tell what was spent.
    pub(crate) async fn admit(&self, caller: &Caller, job: Option<NewJob<'_>>) -> Result<Admitted, Error> {
        let Tenant { name, spec } = &*caller.tenant;
        let limits = &spec.limits;
        if job.is_some()
            && let Some(most) = limits.unfinished_jobs
            && self.cache.jobs.unfinished(&caller.tenant) >= most as usize
        {
            let what = format!(
                "{most} jobs of this tenant have not ended, and it may have no more (unfinishedJobs)"
            );
            return Err(Error::OverLimit {
                limit: "unfinishedJobs",
                what,
                retry_after: JOBS_RETRY,
                passes_soon: true,
            });
        }
        let rate = limits.requests_per_second.unwrap_or_default();
        let money = limits.amount_per_day.is_some() || limits.amount_per_month.is_some();
        let images = limits.images_per_day.is_some() || limits.images_per_month.is_some();
        if rate == 0 && (job.is_none() || !(images || money)) {
            return Ok(Admitted::default());
        }
        let now = Timestamp::now();
        let Periods { day, month } = Periods::of(name, now);
        let most = |limit: Option<u64>| limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(-1);
        let micros = |limit: Option<Money>| most(limit.map(Money::micros));
        let mut call = ADMIT.key(day);
        call.key(month).key(format!("ija:{{{name}}}:rate")).arg(rate).arg(BURST_SECONDS);
        call.arg(most(limits.images_per_day)).arg(most(limits.images_per_month));
        call.arg(micros(limits.amount_per_day)).arg(micros(limits.amount_per_month));
        if let Some(NewJob { name, images }) = job {
            call.arg(name).arg(&caller.key.name).arg(images);
        }
        let answer = timeout(ANSWER, self.redis.script(&call)).await;
        let (over, wait_ms, room, noted): (usize, u64, u64, bool) = match answer {
            Ok(Ok(answer)) => answer,
            failed => {
                tracing::warn!(?failed, "the limits can't be looked up");
                if job.is_some() && money {
                    let what =
                        "what this tenant has spent can't be looked up, and its money is limited".to_owned();
                    return Err(Error::Unavailable { what, retry_after: UNKNOWN_RETRY });
                }
                let (over, wait_ms, room) = self.local.admit(name, rate);
                (over, wait_ms, room, false)
            }
        };
        match over {
            0 => {
                Ok(Admitted { noted, left: (rate > 0).then_some(Left { per_second: rate, requests: room }) })
            }
            1 => {
                let what = format!("this tenant may send {rate} requests a second (requestsPerSecond)");
                let retry_after = Duration::from_millis(wait_ms);
                Err(Error::OverLimit { limit: "requestsPerSecond", what, retry_after, passes_soon: true })
            }
            over => Err(spent(over, limits, now)),
        }
    }

    /// Takes back what was noted of a job that was not created after all.
    pub(crate) async fn forget(&self, caller: &Caller, NewJob { name, images }: NewJob<'_>) {
        let Periods { day, month } = Periods::of(&caller.tenant.name, Timestamp::now());
        let mut call = FORGET.key(day);
        call.key(month).arg(name).arg(&caller.key.name).arg(images);
        if let Err(error) = self.redis.script::<()>(&call).await {
            tracing::warn!(%error, "a job that was not created stays counted");
        }
    }

    /// Notes what a job counts, as far as it is known.
    pub(crate) async fn record(&self, job: &Job) -> queue::Result<()> {
        let at = job.created.as_ref().map_or_else(Timestamp::now, |time| time.0);
        let Periods { day, month } = Periods::of(&job.tenant, at);
        let micros = job.status.cost.as_ref().map_or(0, |cost| cost.amount.micros());
        let mut call = RECORD.key(day);
        call.key(month).arg(&job.name).arg(job.key.as_deref().unwrap_or("-")).arg(job.count).arg(micros);
        self.redis.script(&call).await
    }

    /// What a tenant used, day by day: of all its keys together, and of each.
    pub(crate) async fn usage(
        &self,
        tenant: &str,
        days: impl Iterator<Item = jiff::civil::Date>,
    ) -> queue::Result<Vec<(jiff::civil::Date, Usage, BTreeMap<String, Usage>)>> {
        let mut found = vec![];
        for date in days {
            let mut call = redis::cmd("HGETALL");
            call.arg(day_key(tenant, date));
            let fields: BTreeMap<String, String> = self.redis.run(&call).await?;
            let (mut all, mut keys) = (Usage::default(), BTreeMap::<String, Usage>::new());
            for (field, value) in fields {
                let Ok(value) = value.parse::<u64>() else { continue };
                let (usage, field) = match field.strip_prefix("key:").and_then(|rest| rest.rsplit_once(':')) {
                    Some((key, field)) => (keys.entry(key.to_owned()).or_default(), field),
                    None => (&mut all, field.as_str()),
                };
                match field {
                    "jobs" => usage.jobs = value,
                    "images" => usage.images = value,
                    "micros" => usage.amount = Money::from_micros(value),
                    _ => {}
                }
            }
            found.push((date, all, keys));
        }
        Ok(found)
    }
}

/// Images or money are used up until the day or the month ends.
fn spent(over: usize, limits: &crds::TenantLimits, now: Timestamp) -> Error {
    let images = |most: Option<u64>| most.unwrap_or_default().to_string();
    let amount = |most: Option<Money>| most.unwrap_or_default().to_string();
    let (limit, most, what, of_day) = match over {
        2 => ("imagesPerDay", images(limits.images_per_day), "images a day", true),
        3 => ("imagesPerMonth", images(limits.images_per_month), "images a month", false),
        4 => ("amountPerDay", amount(limits.amount_per_day), "a day for GPU time", true),
        _ => ("amountPerMonth", amount(limits.amount_per_month), "a month for GPU time", false),
    };
    let today = now.to_zoned(TimeZone::UTC).date();
    let ends = if of_day { today.tomorrow() } else { today.last_of_month().tomorrow() };
    let ends = ends.and_then(|date| date.to_zoned(TimeZone::UTC)).map(|end| end.timestamp());
    let left = ends.map_or(0, |end| end.as_second() - now.as_second());
    let retry_after = Duration::from_secs(u64::try_from(left).unwrap_or_default());
    let what = format!(
        "this tenant may use {most} {what}, until {} UTC ({limit})",
        if of_day { "midnight" } else { "the month's end" }
    );
    Error::OverLimit { limit, what, retry_after, passes_soon: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_and_a_month_with_its_last_day() {
        let limits = crds::TenantLimits { images_per_day: Some(9), ..crds::TenantLimits::default() };
        let now: Timestamp = "2026-02-27T23:59:00Z".parse().unwrap();
        let of_day = spent(2, &limits, now);
        assert_eq!(of_day.retry_after(), Some(60));
        assert_eq!(
            of_day.to_string(),
            "this tenant may use 9 images a day, until midnight UTC (imagesPerDay)"
        );
        assert_eq!(spent(5, &limits, now).retry_after(), Some(86_460));
    }
}
