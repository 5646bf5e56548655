//! `/ui/status`: the queue, the workers and the spend of a tenant, now and over the last hours.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use crds::{
    FleetStatus, Money, WorkerPool,
    conditions::{ConditionType, find_condition},
};
use jiff::{Span, Timestamp, tz::TimeZone};
use maud::{Markup, html};

use super::{
    chart::Chart,
    layout::{self, Place},
    refusal::{Refusal, words},
    session::{self, Viewer},
};
use crate::{app::App, auth::Caller, cache::PoolKey, error::Error, limits::Usage, own};

/// The hours that charts show.
const HOURS: usize = 24;
const HOUR_SECONDS: i64 = 3600;
/// The days whose usage is shown.
const DAYS: i32 = 7;

/// The page.
pub(crate) async fn status(State(app): State<App>, headers: HeaderMap) -> Result<Response, Refusal> {
    let caller = session::caller(&app, &headers).await?;
    let viewer = Viewer::Tenant(caller.clone());
    let content = html! { h1 { "Queue and spend" } (region(&app, &caller).await) };
    Ok(layout::page("Queue and spend", Some(&viewer), Some(Place::Status), &content).into_response())
}

/// What of it changes, for the script.
pub(crate) async fn live(State(app): State<App>, headers: HeaderMap) -> Result<Markup, Refusal> {
    let caller = session::caller(&app, &headers).await?;
    Ok(region(&app, &caller).await)
}

async fn region(app: &App, caller: &Caller) -> Markup {
    let pools = caller.tenant.pools(&app.cache.pools);
    let hours = LastHours::of(app, caller, Timestamp::now());
    let usage = usage(app, caller).await;
    layout::live(
        "status",
        "/ui/live/status",
        &html! {
            section aria-labelledby="pools" {
                h2 id="pools" { "Queue and workers" }
                @if pools.is_empty() { p { "This tenant has no pool." } }
                div.tiles { @for (key, pool) in &pools { (pool_tile(key, pool)) } }
            }
            section aria-labelledby="hours" {
                h2 id="hours" { "Your jobs in the last " (HOURS) " hours" }
                div.charts { (hours.finished()) (hours.spent()) }
            }
            section aria-labelledby="days" {
                h2 id="days" { "Your spend by day" }
                @match &usage {
                    Ok(days) => (by_day(days, &hours.currency)),
                    Err(error) => p.notice.bad { (words(error)) },
                }
            }
        },
    )
}

fn pool_tile(key: &PoolKey, pool: &WorkerPool) -> Markup {
    let status = pool.status.clone().unwrap_or_default();
    let queue = status.queue.clone().unwrap_or_default();
    let ready = find_condition(&status.conditions, ConditionType::Ready);
    let workers = |count: fn(&FleetStatus) -> u32| status.fleets.iter().map(count).sum::<u32>();
    html! {
        article.card data-key=(key.queue()) {
            h3 { (key.name) }
            @if let Some(ready) = ready { p.line { (ready.message) } }
            dl.numbers {
                div { dt { "Images waiting" } dd { (queue.waiting) } }
                div { dt { "Being made" } dd { (queue.running) } }
                div { dt { "Workers" } dd { (workers(|fleet| fleet.total)) } }
                @if let Some(seconds) = own::wait_seconds(pool) { div { dt { "A new image waits" } dd { "about " (seconds) " s" } } }
            }
            @if !status.fleets.is_empty() {
                div.scroll tabindex="0" role="region" aria-label={ "Workers of " (key.name) } {
                    table {
                        thead { tr { th scope="col" { "Fleet" } th scope="col" { "Starting" } th scope="col" { "Idle" } th scope="col" { "Busy" } th scope="col" { "Leaving" } } }
                        tbody { @for fleet in &status.fleets {
                            tr { th scope="row" { (fleet.name) } td { (fleet.starting) } td { (fleet.idle) } td { (fleet.busy) } td { (fleet.draining) } }
                        } }
                    }
                }
            }
        }
    }
}

/// What a tenant's jobs came to, hour by hour, by the jobs that are still there.
struct LastHours {
    images: Vec<f64>,
    micros: Vec<u64>,
    currency: String,
}

impl LastHours {
    fn of(app: &App, caller: &Caller, now: Timestamp) -> Self {
        let mut hours = Self { images: vec![0.0; HOURS], micros: vec![0; HOURS], currency: String::new() };
        let ended =
            app.cache.jobs.page(&caller.tenant, None, usize::MAX, |job| job.status.completion_time.is_some());
        for job in &ended.jobs {
            let Some(at) = &job.status.completion_time else { continue };
            let ago = (now.as_second() - at.0.as_second()).max(0) / HOUR_SECONDS;
            let Some(hour) = usize::try_from(ago).ok().and_then(|ago| HOURS.checked_sub(ago + 1)) else {
                continue;
            };
            hours.images[hour] += f64::from(job.status.counts.map_or(0, |counts| counts.succeeded));
            if let Some(cost) = &job.status.cost {
                hours.micros[hour] = hours.micros[hour].saturating_add(cost.amount.micros());
                hours.currency.clone_from(&cost.currency);
            }
        }
        hours
    }

    fn finished(&self) -> Markup {
        let (all, most) = (self.images.iter().sum::<f64>(), self.images.iter().copied().fold(0.0, f64::max));
        let summary = format!("{all} in {HOURS} hours, at most {most} in one hour");
        let most = format!("{all} in all, at most {most} an hour");
        Chart { title: "Images made", summary, most, ends: ENDS, values: &self.images }.markup()
    }

    fn spent(&self) -> Markup {
        let money = |micros: u64| format!("{} {}", Money::from_micros(micros), self.currency);
        let all = money(self.micros.iter().copied().fold(0, u64::saturating_add));
        let most = money(self.micros.iter().copied().max().unwrap_or_default());
        let summary = format!("{} in {HOURS} hours, at most {} in one hour", all.trim(), most.trim());
        let most = format!("{} in all, at most {} an hour", all.trim(), most.trim());
        #[allow(clippy::cast_precision_loss, reason = "bars need no 53 bits")]
        let values: Vec<f64> = self.micros.iter().map(|micros| *micros as f64).collect();
        Chart { title: "Cost of GPU time", summary, most, ends: ENDS, values: &values }.markup()
    }
}

const ENDS: [&str; 2] = ["24 hours ago", "now"];

async fn usage(app: &App, caller: &Caller) -> Result<Vec<(jiff::civil::Date, Usage)>, Error> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let first = today.saturating_sub(Span::new().days(DAYS - 1));
    let days = first.series(Span::new().days(1)).take_while(|day| *day <= today);
    let found = app.limits.usage(&caller.tenant.name, days).await?;
    Ok(found.into_iter().rev().map(|(date, all, _)| (date, all)).collect())
}

fn by_day(days: &[(jiff::civil::Date, Usage)], currency: &str) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Spend by day" {
            table {
                thead { tr { th scope="col" { "Day (UTC)" } th scope="col" { "Jobs" } th scope="col" { "Images" } th scope="col" { "Cost " (currency) } } }
                tbody { @for (date, usage) in days {
                    tr { th scope="row" { (date) } td { (usage.jobs) } td { (usage.images) } td { (usage.amount) } }
                } }
            }
        }
    }
}
