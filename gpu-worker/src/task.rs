use std::{sync::Arc, time::Duration};

use queue::{Lease, Reason, Release, TaskResult, TaskSpec, Written};
use tokio::sync::watch;

use crate::{
    backoff::Backoff,
    comfyui::{Generated, Output, Progress, Prompt, PromptId, Segment, Trouble},
    ending::Ending,
    graph::Graph,
    held::{Seat, Stage, Stop},
    image::Image,
    latents::{Begun, Latents},
    metrics::Outcome,
    worker::Worker,
};

/// A prompt stops at its next step or node; with large pictures on slow cards that may take a while.
const STOP_PATIENCE: Duration = Duration::from_secs(120);
/// A picture under which the engine died so often is to blame for it.
const DEATHS: u32 = 3;

/// A lease, and what is to be done for it.
#[derive(Debug, Clone, Copy)]
struct Task<'a> {
    lease: &'a Lease,
    spec: &'a TaskSpec,
    latents: Option<&'a Latents>,
}

/// What came out of the engine.
#[derive(Debug)]
struct Drawn {
    outputs: Vec<Output>,
    seed: Option<u64>,
    engine_ms: u64,
}

/// Pictures made, not stored yet.
#[derive(Debug)]
pub(crate) struct Made {
    /// The task's own first.
    pub(crate) images: Vec<Image>,
    pub(crate) seed: Option<u64>,
    /// Over all attempts, as far as their work went into the picture.
    pub(crate) engine_ms: u64,
}

/// One lease, from claim to its last word to the queue: prepare, generate, upload, report.
pub(crate) async fn run(worker: Arc<Worker>, lease: Lease, seat: Seat) {
    let spec = worker.queue.spec_of(&lease).await;
    let output = worker.store.output();
    let latents = spec.as_ref().ok().and_then(|spec| Latents::of(&lease.task, &spec.work, output));
    let ending = match &spec {
        Ok(spec) => {
            let task = Task { lease: &lease, spec, latents: latents.as_ref() };
            tokio::select! {
                biased;
                stop = seat.stopped() => Ending::Stopped(stop),
                ending = worker.attempt(task, &seat) => ending,
            }
        }
        Err(error) => Ending::rejected(Reason::BadPayload, error),
    };
    let prompt = seat.prompt();
    seat.enter(if prompt.is_some() { Stage::Stopping } else { Stage::Reporting });
    let over = !ending.is_interruption();
    let reporting = async {
        worker.report(&lease, ending).await;
        seat.lease_over();
    };
    let stopping = async {
        if let Some(prompt) = &prompt {
            worker.engine.be_rid_of(prompt, STOP_PATIENCE).await;
        }
    };
    let tidying = async {
        if let Some(latents) = latents.as_ref().filter(|_| over) {
            worker.remove_latent(latents).await;
        }
    };
    tokio::join!(reporting, stopping, tidying);
}

impl Worker {
    async fn attempt(&self, task: Task<'_>, seat: &Seat) -> Ending {
        if task.lease.recheck
            && let Some(found) = self.find(task.lease).await
        {
            return Ending::Done(found);
        }
        let made = match self.make(task, seat).await {
            Ok(drawn) => looked_at(drawn),
            Err(ending) => Err(ending),
        };
        match made {
            Ok(made) => self.deliver(task.lease, &made).await,
            Err(ending) => ending,
        }
    }

    /// Generates, with a second try where that may help.
    async fn make(&self, task: Task<'_>, seat: &Seat) -> Result<Drawn, Ending> {
        let name = &task.lease.task;
        let mut begun = match task.latents.filter(|_| task.lease.recheck) {
            Some(latents) => self.begun(latents).await,
            None => None,
        };
        let mut freed = false;
        let mut lost = false;
        loop {
            match self.draw(task, begun.as_ref(), seat).await {
                Ok(drawn) => {
                    self.deaths.survived(name);
                    return Ok(drawn);
                }
                // The latent may be to blame, and the picture can do without it.
                Err(trouble @ (Trouble::Refused(_) | Trouble::Failed(_))) if begun.take().is_some() => {
                    tracing::warn!(task = %name, %trouble, "can't go on from a latent: starting over");
                }
                Err(Trouble::OutOfMemory(failure)) if !freed => {
                    tracing::warn!(task = %name, why = failure.words(), "out of memory: freeing it for another try");
                    freed = true;
                    if let Err(trouble) = self.engine.free_memory().await {
                        return Err(Ending::in_trouble(&trouble, false));
                    }
                }
                Err(trouble @ Trouble::Lost(_)) if !lost => {
                    tracing::warn!(task = %name, %trouble, "once more");
                    lost = true;
                }
                Err(trouble) => return Err(self.undrawn(task.lease, seat, &trouble)),
            }
        }
    }

    fn undrawn(&self, lease: &Lease, seat: &Seat, trouble: &Trouble) -> Ending {
        tracing::warn!(task = %lease.task, attempt = lease.attempt, %trouble, "no picture");
        let fatal = match trouble {
            // What waited behind another picture has nothing to do with it.
            Trouble::Machine(_) if seat.began() => {
                self.metrics.engine_deaths.inc();
                self.deaths.count(&lease.task) >= DEATHS
            }
            _ => false,
        };
        Ending::in_trouble(trouble, fatal)
    }

    /// One run of the graph in the engine, or of what is left of it.
    async fn draw(&self, task: Task<'_>, begun: Option<&Begun>, seat: &Seat) -> Result<Drawn, Trouble> {
        let Task { lease, spec, latents: _ } = task;
        let id = PromptId::draw();
        let prefix = format!("{}/{}-{id}", lease.task.job, lease.task.index);
        let Graph { nodes, seed, segments } = Graph::new(&spec.work, lease.task.index, &prefix, begun);
        let timeout = Duration::from_secs(spec.timeout_seconds.into());
        seat.prompted(id.clone(), lease.units * share_left(&segments));
        let prompt = Prompt { id, graph: nodes, segments, timeout };
        let generated = self.generate(task, begun, &prompt, seat).await;
        if !matches!(generated, Err(Trouble::TimedOut(_))) {
            seat.unprompted();
        }
        let Generated { outputs, engine_ms } = generated?;
        let took = Duration::from_millis(engine_ms);
        seat.generated(took);
        self.metrics.engine_seconds.observe(took.as_secs_f64());
        let (steps, before_ms) = begun.map_or((0, 0), |begun| (begun.steps, begun.gpu_ms));
        self.metrics.steps_resumed.inc_by(steps.into());
        Ok(Drawn { outputs, seed, engine_ms: before_ms.saturating_add(engine_ms) })
    }

    /// Stores the latents on the way while the engine goes on.
    async fn generate(
        &self,
        task: Task<'_>,
        begun: Option<&Begun>,
        prompt: &Prompt,
        seat: &Seat,
    ) -> Result<Generated, Trouble> {
        let (newest, saved) = watch::channel(None);
        let tell = move |progress: &Progress| {
            seat.progressed(progress);
            newest.send_if_modified(|known| {
                let is_news = *known != progress.saved;
                known.clone_from(&progress.saved);
                is_news
            });
        };
        let keeping = async {
            if let Some(latents) = task.latents {
                self.keep_latents(latents, begun, saved).await;
            }
        };
        let (generated, ()) = tokio::join!(self.engine.generate(prompt, tell), keeping);
        generated
    }

    /// Tells the queue, for as long as it takes to reach it. Nothing is said of a lease that is not ours.
    async fn report(&self, lease: &Lease, ending: Ending) {
        let write = match ending {
            Ending::Stopped(Stop::Cancelled) => return self.metrics.task(Outcome::Cancelled),
            Ending::Stopped(Stop::Lost) => return self.metrics.task(Outcome::Lost),
            Ending::Stopped(Stop::HandBack) => Err(Release::Preempted),
            Ending::GivenBack(release) => Err(release),
            Ending::Done(result) => Ok(result),
        };
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let written = loop {
            match self.write(lease, &write).await {
                Ok(written) => break written,
                Err(error) => {
                    self.health.redis.ill(error);
                    backoff.wait().await;
                }
            }
        };
        self.health.redis.well();
        self.count(lease, &write, written);
    }

    async fn write(&self, lease: &Lease, write: &Result<TaskResult, Release>) -> queue::Result<Written> {
        let Lease { task, attempt, .. } = lease;
        match write {
            Ok(result) => self.queue.complete(&self.id, task, *attempt, result).await,
            Err(release) => self.queue.release(&self.id, task, *attempt, release, 0).await,
        }
    }

    fn count(&self, lease: &Lease, write: &Result<TaskResult, Release>, written: Written) {
        let Lease { task, attempt, .. } = lease;
        let outcome = match write {
            _ if written == Written::Stale => Outcome::Stale,
            Ok(result) if result.found => Outcome::Found,
            Ok(result) => {
                let url = result.images.first().map(|image| self.store.output().url(&image.key));
                tracing::info!(%task, attempt, gpu_ms = result.gpu_ms, url, "picture stored");
                Outcome::Completed
            }
            Err(Release::Preempted | Release::HandedBack) => Outcome::Interrupted,
            Err(
                Release::Failed { error, .. }
                | Release::Crashed { error }
                | Release::Doubted { error }
                | Release::Withheld { error, .. },
            ) => {
                self.metrics.failure(error.reason.as_str());
                tracing::warn!(%task, attempt, reason = %error.reason, why = error.message, "failed");
                Outcome::Failed
            }
            Err(Release::Rejected { error }) => {
                self.metrics.failure(error.reason.as_str());
                tracing::warn!(%task, attempt, reason = %error.reason, why = error.message, "rejected");
                Outcome::Rejected
            }
        };
        tracing::info!(%task, attempt, ?outcome, "task over");
        self.metrics.task(outcome);
    }
}

/// How much of a picture's work is in these segments of it.
fn share_left(segments: &[Segment]) -> f64 {
    match (segments.first(), segments.last()) {
        (Some(first), Some(last)) => 1.0 - f64::from(first.steps.start) / f64::from(last.steps.end),
        _ => 1.0,
    }
}

/// The images among what the engine made.
fn looked_at(drawn: Drawn) -> Result<Made, Ending> {
    let Drawn { outputs, seed, engine_ms } = drawn;
    let mut images = Vec::with_capacity(outputs.len());
    let mut refused = String::new();
    for Output { name, bytes } in outputs {
        match Image::read(bytes) {
            Ok(image) => images.push(image),
            Err(error) => refused = format!("{name} is not a PNG that can be read: {error}"),
        }
    }
    if images.is_empty() {
        return Err(Ending::failed(Reason::NoImage, refused));
    }
    // A workflow may well make a black mask beside its picture.
    if images.iter().all(|image| image.black) {
        let words =
            "every pixel is black, as when the model's numbers overflow; try another model, VAE or precision";
        return Err(Ending::failed(Reason::BlackImage, words));
    }
    Ok(Made { images, seed, engine_ms })
}
