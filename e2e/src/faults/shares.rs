//! A late bulk job beside a tenant with fresh work and an urgent class, while the operator's reaper runs.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testkit::wait_for;

use super::{InstantEngine, Stand, Verdict, picture};
use crate::jobs::Studio;

/// A picture takes so long.
const PACE: Duration = Duration::from_millis(20);
/// After so long the bulk job is late.
const SLA_SECONDS: u32 = 3;
const URGENT_SLA_SECONDS: u32 = 2;
const BULK: u32 = 500;
const FRESH: u32 = 150;
const URGENT: u32 = 4;
/// Of two tenants of one weight, each may be off its half by as much.
const OFF: f64 = 0.05;
/// Claims of others before an urgent image, at most; as many may have been made while the job was on its way.
const CLAIMS: usize = 4;
const SOON: Duration = Duration::from_secs(90);

/// The bulk job is late, then a tenant with fresh work comes, then urgent jobs: the bulk job has its half and no more, and
/// urgent ones are next.
///
/// # Errors
/// When the shares are others, an urgent image waits longer, or a job does not end.
pub async fn beside_a_late_bulk_job(stand: &Stand, name: &str) -> Result<Verdict> {
    let mut operator = stand.leader(name).await?;
    let studio = stand
        .studio_with(name, |spec| {
            spec["fairness"]["tenancy"] = "Field".into();
            spec["classes"][0]["slaSeconds"] = URGENT_SLA_SECONDS.into();
            spec["classes"][1]["slaSeconds"] = SLA_SECONDS.into();
        })
        .await?;
    let engine = InstantEngine::start_at(&studio, PACE).await?;
    submit(&studio, "bulk", "standard", BULK).await?;
    studio
        .until("bulk", "to be late", SOON, |job| {
            let status = job.status.as_ref()?;
            status.conditions.iter().any(|condition| condition.reason == "SlaMissed").then_some(())
        })
        .await?;
    submit(&studio, "fresh", "standard", FRESH).await?;
    claimed(&engine, "fresh", FRESH / 3).await?;
    let before = engine.claims().len();
    submit(&studio, "urgent", "immediate", URGENT).await?;
    claimed(&engine, "fresh", FRESH).await?;
    let claims = engine.claims();
    urgent_is_next(&claims[before..])?;
    let first = position(&claims, "fresh").context("fresh work was begun")?;
    let last = claims.iter().rposition(|claim| claim == "fresh").context("fresh work was begun")?;
    let contested: Vec<_> = claims[first..=last].iter().filter(|claim| *claim != "urgent").collect();
    let of_bulk = contested.iter().filter(|claim| **claim == "bulk").count();
    #[allow(clippy::cast_precision_loss)]
    let share = of_bulk as f64 / contested.len() as f64;
    ensure!((share - 0.5).abs() <= OFF, "a late bulk job has {share:.2} of the claims");
    studio.complete("urgent", SOON).await?;
    studio.complete("fresh", SOON).await?;
    studio.complete("bulk", SOON).await?;
    let verdict = stand.verdict(&studio, engine.made()).await?;
    stand.close(&studio).await?;
    operator.process().terminate()?;
    Ok(verdict)
}

async fn submit(studio: &Studio<'_>, name: &str, class: &str, images: u32) -> Result<()> {
    let mut spec = picture(name, 1, images);
    spec["tenant"] = name.into();
    spec["class"] = class.into();
    studio.submit(name, spec).await.map(drop)
}

async fn claimed(engine: &InstantEngine, prompt: &str, times: u32) -> Result<()> {
    let enough = async || {
        let claims = engine.claims();
        let of_it = claims.iter().filter(|claim| *claim == prompt).count();
        (of_it >= usize::try_from(times).ok()?).then_some(())
    };
    wait_for(&format!("{times} claims of {prompt}"), SOON, enough).await
}

/// From the first urgent image on, each comes after few claims of others.
fn urgent_is_next(claims: &[String]) -> Result<()> {
    let first = position(claims, "urgent").context("no urgent image was claimed while fresh work lasted")?;
    let mut waited = 0;
    let mut left = URGENT;
    for claim in &claims[first..] {
        if left == 0 {
            break;
        }
        if claim == "urgent" {
            (waited, left) = (0, left - 1);
        } else {
            waited += 1;
        }
        ensure!(waited < CLAIMS, "an urgent image waited for {waited} others");
    }
    Ok(())
}

fn position(claims: &[String], prompt: &str) -> Option<usize> {
    claims.iter().position(|claim| claim == prompt)
}
