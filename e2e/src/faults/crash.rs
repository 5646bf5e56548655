//! The operator is killed right after its k-th effect on the world, for every k; started again, it must come to the
//! same end.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use anyhow::{Context as _, Result, ensure};
use crds::{ImageJob, conditions::JobReason};
use kube::{ResourceExt as _, api::ListParams};
use serde_json::{Value, json};

use super::{Effects, Gate, HOPELESS, InstantEngine, Stand, Verdict, Wire, picture};
use crate::{finished::ready, jobs::Studio};

const SOON: Duration = Duration::from_secs(60);
/// Under one name, as a container that is restarted.
const IDENTITY: &str = "operator-0";
/// More images than fit into a status, so that there is a manifest.
const MANY: u32 = 101;

/// The gates between the operator and all it acts on.
pub struct Crash<'a> {
    stand: &'a Stand,
    effects: Effects,
    api: Gate,
    redis: Gate,
    s3: Gate,
}

/// What is left of one life of jobs of every kind.
/// By job: the reason it ended, its counts, and the images it lists.
#[derive(Debug, PartialEq, Eq)]
struct End(BTreeMap<String, Value>);

/// What came of all lives.
#[derive(Debug, Default)]
pub struct Report {
    /// How many effects the operator had in a life in which nothing went wrong.
    pub effects: usize,
    /// After which of them it was killed.
    pub killed_after: Vec<usize>,
    /// What became of the jobs.
    pub verdict: Verdict,
}

impl<'a> Crash<'a> {
    /// Opens the gates.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn prepare(stand: &'a Stand) -> Result<Self> {
        let effects = Effects::default();
        Ok(Self {
            api: Gate::open(stand.api(), Wire::Http, &effects).await?,
            redis: Gate::open(stand.redis().await, Wire::Redis, &effects).await?,
            s3: Gate::open(stand.s3().await, Wire::Http, &effects).await?,
            stand,
            effects,
        })
    }

    /// One life undisturbed, then one for each k that `choose` chooses of their number.
    ///
    /// # Errors
    /// When a life comes to another end than the undisturbed one; it says after which effect.
    pub async fn run(&self, choose: impl FnOnce(usize) -> Vec<usize>) -> Result<Report> {
        let mut report = Report::default();
        let (expected, verdict) = self.life(None).await.context("undisturbed")?;
        report.verdict.add(verdict);
        report.effects = self.effects.so_far().len();
        for k in choose(report.effects) {
            tracing::info!(k, of = report.effects, "killed after effect");
            let (end, verdict) = self.life(Some(k)).await.with_context(|| self.killed_after(k))?;
            ensure!(end == expected, "{}: {end:#?} instead of {expected:#?}", self.killed_after(k));
            report.verdict.add(verdict);
            // Timers differ a little from life to life.
            if self.effects.so_far().len() >= k {
                report.killed_after.push(k);
            }
        }
        Ok(report)
    }

    fn killed_after(&self, k: usize) -> String {
        let effects = self.effects.so_far();
        let last = k.checked_sub(1).and_then(|last| effects.get(last)).map_or("nothing", String::as_str);
        format!("killed after effect {k}, {last}; its log:\n{}", self.stand.log(IDENTITY))
    }

    /// Jobs of every kind from creation to their end, with the operator killed after its k-th effect.
    async fn life(&self, k: Option<usize>) -> Result<(End, Verdict)> {
        self.effects.begin(k);
        let name = k.map_or_else(|| "life".to_owned(), |k| format!("life-{k}"));
        tokio::select! {
            lived = self.live(&name) => lived,
            Err(error) = self.operate() => Err(error),
        }
    }

    /// Runs the operator. When the gates shut it is killed, and started again.
    async fn operate(&self) -> Result<Infallible> {
        let start = || self.stand.operator(IDENTITY, self.api.address(), self.redis.address());
        let mut operator = start()?;
        self.effects.shut().await;
        operator.process().kill9()?;
        self.effects.open();
        let _operator = start()?;
        std::future::pending().await
    }

    async fn live(&self, name: &str) -> Result<(End, Verdict)> {
        let studio = self.stand.studio(name, self.s3.address(), 0).await?;
        let engine = InstantEngine::start(&studio).await?;
        submit(&studio).await?;
        studio.reason("stopped", JobReason::Suspended, SOON).await?;
        studio.change("stopped", json!({ "cancel": true })).await?;
        studio.until("deleted", "to be seen", SOON, |job| job.status.clone()).await?;
        studio.delete("deleted").await?;
        for job in ["many", "small", "hopeless", "misfit", "stopped"] {
            studio.ended(job, SOON).await?;
        }
        studio.back_to_zero(SOON).await?;
        let verdict = self.stand.verdict(&studio, engine.made()).await?;
        let end = End::of(&studio).await?;
        self.stand.close(&studio).await?;
        Ok((end, verdict))
    }
}

/// Jobs of every kind: one with a manifest, a plain one, one that fails, one that is refused, one that is suspended
/// and cancelled, and one that is suspended and deleted.
async fn submit(studio: &Studio<'_>) -> Result<()> {
    let with = |prompt: &str, count: u32, field: &str, value: Value| {
        let mut spec = picture(prompt, 1, count);
        spec[field] = value;
        spec
    };
    for (name, spec) in [
        ("many", with("stamps", MANY, "class", json!("standard"))),
        ("small", with("a boat", 3, "class", json!("standard"))),
        ("hopeless", with(HOPELESS, 2, "class", json!("standard"))),
        ("misfit", misfit()),
        ("stopped", with("a road", 4, "suspend", json!(true))),
        ("deleted", with("a mistake", 4, "suspend", json!(true))),
    ] {
        studio.submit(name, spec).await?;
    }
    Ok(())
}

/// It sets an input that its node does not have.
fn misfit() -> Value {
    let graph = json!({ "1": { "class_type": "EmptyImage", "inputs": { "width": 64 } } });
    json!({ "work": { "type": "Workflow", "workflow": { "graph": graph, "inputs": { "1.widht": 128 } } }, "count": 1 })
}

impl End {
    async fn of(studio: &Studio<'_>) -> Result<Self> {
        let jobs = studio.api::<ImageJob>().list(&ListParams::default()).await?.items;
        let jobs = jobs.iter().map(|job| {
            let status = job.status.as_ref();
            let indices: Vec<_> =
                status.iter().flat_map(|status| &status.results).map(|result| result.index).collect();
            let (reason, _) = ready(job);
            let end = json!({
                "reason": reason, "counts": status.and_then(|status| status.counts), "images": indices,
                "manifest": status.is_some_and(|status| status.manifest_url.is_some()),
            });
            (job.name_any(), end)
        });
        Ok(Self(jobs.collect()))
    }
}
