//! Machines of the stand that work for one studio, and what came of its jobs.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use serde_json::Value;
use testkit::wait_for;

use super::{
    Made, Stand, Verdict,
    machine::{Machine, MachineOptions, vanish},
    picture,
};
use crate::{Finished, jobs::Studio};

const SOON: Duration = Duration::from_secs(60);

/// What is particular to a crew.
#[derive(Debug, Clone, Copy)]
pub(super) struct CrewOptions<'a> {
    /// Machines.
    pub(super) machines: usize,
    /// Sampling steps of a picture.
    pub(super) steps: u32,
    /// How long each takes.
    pub(super) step: Duration,
    /// More of the engines' arguments.
    pub(super) engine: &'a [&'a str],
}

/// Machines that work for a studio.
pub(super) struct Crew<'a> {
    stand: &'a Stand,
    pub(super) studio: Studio<'a>,
    pub(super) machines: Vec<Machine>,
    pub(super) record: PathBuf,
    steps: u32,
}

impl<'a> Crew<'a> {
    /// Starts the machines and waits until all take tasks; an operator has to be there.
    pub(super) async fn start(
        stand: &'a Stand,
        studio: Studio<'a>,
        options: &CrewOptions<'_>,
    ) -> Result<Self> {
        let CrewOptions { machines, steps, step, engine } = *options;
        let name = studio.namespace.clone();
        let record = stand.world.files().join(format!("{name}.steps"));
        let redis = stand.redis().await;
        let of_one = MachineOptions { name: &name, redis, step, record: &record, engine };
        let machines = Machine::start_many(stand, &studio, &of_one, machines).await?;
        Ok(Self { stand, studio, machines, record, steps })
    }

    /// Creates a job whose pictures no other job's are like, so that it shows what is made twice.
    pub(super) async fn submit(&self, name: &str, images: u32) -> Result<()> {
        self.submit_as(name, images, |_| ()).await
    }

    /// The same; `change` may change its spec first.
    pub(super) async fn submit_as(
        &self,
        name: &str,
        images: u32,
        change: impl FnOnce(&mut Value),
    ) -> Result<()> {
        let mut spec = picture(name, self.steps, images);
        change(&mut spec);
        self.studio.submit(name, spec).await.map(drop)
    }

    /// Waits until every worker is in the middle of a picture.
    pub(super) async fn all_at_work(&self) -> Result<()> {
        let (queue, least) = (self.studio.queue().await?, self.steps / 5);
        wait_for("every worker to be in the middle of a picture", SOON, async || {
            let leases = queue.stats().await.ok()?.leases;
            let at_it = leases.iter().filter(|lease| lease.progress.is_some_and(|(done, _)| done >= least));
            (at_it.count() >= self.machines.len()).then_some(())
        })
        .await
    }

    /// A machine vanishes, and with it a picture that was begun. How long it takes until that may be claimed again.
    pub(super) async fn lose_one(&mut self) -> Result<Duration> {
        let queue = self.studio.queue().await?;
        let machine = self.machines.remove(0);
        let held = wait_for("the machine to be at work", SOON, async || {
            let leases = queue.stats().await.ok()?.leases;
            leases.into_iter().find(|lease| lease.worker.0 == machine.name() && lease.progress.is_some())
        })
        .await?;
        vanish(std::slice::from_ref(&machine))?;
        let lost = std::time::Instant::now();
        wait_for("its picture to be claimable again", SOON, async || {
            let leases = queue.stats().await.ok()?.leases;
            let same = |lease: &queue::LeaseSeen| lease.task == held.task && lease.attempt == held.attempt;
            (!leases.iter().any(same)).then_some(())
        })
        .await?;
        Ok(lost.elapsed())
    }

    /// Judges the jobs, and deletes them and the pool.
    pub(super) async fn close(self) -> Result<Verdict> {
        ensure!(self.machines.iter().all(Machine::works), "a worker has left");
        let verdict = self.stand.verdict(&self.studio, Made::read(&self.record)?).await?;
        self.stand.close(&self.studio).await?;
        Ok(verdict)
    }
}

/// Attempts at the images of these jobs beyond one for each.
pub(super) fn thrown_away(jobs: &[Finished]) -> usize {
    let beyond = jobs.iter().flat_map(Finished::results).map(|result| result.attempts.saturating_sub(1));
    beyond.filter_map(|n| usize::try_from(n).ok()).sum()
}
