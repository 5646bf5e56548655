//! A job that ends every engine that touches it, beside an honest tenant's.

use std::time::Duration;

use anyhow::{Result, ensure};
use crds::conditions::JobReason;

use super::{
    Made, Stand, Verdict,
    crew::{Crew, CrewOptions},
    machine::Machine,
};

/// A picture takes 1 s.
const STEPS: u32 = 20;
const STEP: Duration = Duration::from_millis(50);
const MACHINES: usize = 4;
/// Of either tenant.
const IMAGES: u32 = 50;
/// So many deaths of engines are proof.
const DEATHS: u32 = 3;
const POISON: &str = "poison";
const HONEST: &str = "bread";
const ALL: Duration = Duration::from_secs(120);

/// What came of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// What became of the jobs.
    pub verdict: Verdict,
    /// Pictures that were begun of the job that ends engines ÷ those of the honest tenant.
    pub share: f64,
    /// Engines that died.
    pub deaths: u32,
}

/// Two tenants, each with a job of 50 images; whatever engine begins with one of the first job dies at its first step.
///
/// # Errors
/// When the first job ends otherwise than for this reason, or the second one is not complete.
pub async fn beside_an_honest_tenant(stand: &Stand, name: &str) -> Result<Report> {
    let mut operator = stand.leader(name).await?;
    let studio = stand.studio_with(name, |spec| spec["fairness"]["tenancy"] = "Field".into()).await?;
    let fault = format!(r#"--fault={{"kind":"crash","step":1,"text":"{POISON}"}}"#);
    let options = CrewOptions { machines: MACHINES, steps: STEPS, step: STEP, engine: &[&fault] };
    let crew = Crew::start(stand, studio, &options).await?;
    for tenant in [POISON, HONEST] {
        crew.submit_as(tenant, IMAGES, |spec| spec["tenant"] = tenant.into()).await?;
    }
    let poison = crew.studio.ended(POISON, ALL).await?;
    let (reason, message) = poison.ready();
    ensure!(reason == JobReason::EngineCrashed.as_str(), "it ends as {reason}: {message}");
    let honest = crew.studio.complete(HONEST, ALL).await?;
    ensure!(honest.retries() == 0, "{} retries of the honest tenant's", honest.retries());
    let died: Vec<u32> = crew.machines.iter().map(Machine::deaths).collect();
    let deaths = died.iter().sum();
    ensure!(deaths >= DEATHS, "stopped after {died:?} deaths");
    ensure!(died.iter().filter(|died| **died > 0).count() >= 2, "one worker's word alone: {died:?}");
    let made = Made::read(&crew.record)?;
    #[allow(clippy::cast_precision_loss)]
    let share = made.begun(POISON) as f64 / made.begun(HONEST) as f64;
    let verdict = crew.close().await?;
    operator.process().terminate()?;
    Ok(Report { verdict, share, deaths })
}
