use std::{sync::Arc, time::Duration};

use queue::{Lease, Reason, TaskKind, TaskSpec, Timings};
use tokio::sync::watch;
use tracing::{Instrument as _, field::Empty};

use crate::{
    backoff::Backoff,
    comfyui::{Generated, Output, Progress, Prompt, PromptId, Segment, Trouble},
    deliver::Undelivered,
    ending::Ending,
    graph::Graph,
    held::{Seat, Stage, Stop},
    inputs::Prepared,
    latents::{Begun, Latents},
    spans,
    worker::Worker,
};

/// A prompt stops at its next step or node; with large pictures on slow cards that may take a while.
const STOP_PATIENCE: Duration = Duration::from_secs(120);
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// A lease, and what is to be done for it.
#[derive(Debug, Clone, Copy)]
struct Task<'a> {
    lease: &'a Lease,
    spec: &'a TaskSpec,
    latents: Option<&'a Latents>,
}

/// Files made, still in the engine.
#[derive(Debug)]
pub(crate) struct Made {
    /// The most important one first.
    pub(crate) outputs: Vec<Output>,
    pub(crate) seed: Option<u64>,
    /// Over all attempts, as far as their work went into the files.
    pub(crate) engine_ms: u64,
    /// Of this attempt, but for the upload.
    pub(crate) timings: Timings,
}

/// What may be tried once more within an attempt, and was.
#[derive(Debug, Default)]
struct Tried {
    freed: bool,
    lost: bool,
    stale: bool,
}

/// One lease, from claim to its last word to the queue.
pub(crate) async fn run(worker: Arc<Worker>, lease: Lease, seat: Seat) {
    match lease.kind {
        TaskKind::Image => run_image(&worker, &lease, &seat).await,
        TaskKind::Listing => {
            let ending = unless_stopped(&seat, worker.list(&lease)).await;
            worker.report(&lease, ending, &seat).await;
        }
    }
}

/// Prepares, generates, delivers, reports and cleans up.
async fn run_image(worker: &Worker, lease: &Lease, seat: &Seat) {
    let image = spans::image(worker, lease);
    let spec = tokio::select! {
        biased;
        stop = seat.stopped() => Err(Ending::Stopped(stop)),
        spec = worker.spec_of(lease) => spec,
    };
    let spec = match spec {
        Ok(spec) => spec,
        Err(ending) => return worker.report(lease, ending, seat).instrument(image).await,
    };
    spans::join_trace(&image, &spec);
    let latents = Latents::of(&lease.task, &spec, worker.store.output());
    let latents = latents.as_ref();
    let task = Task { lease, spec: &spec, latents };
    let ending = unless_stopped(seat, Box::pin(worker.attempt(task, seat))).instrument(image.clone()).await;
    seat.enter(if seat.is_in_engine() { Stage::Stopping } else { Stage::Reporting });
    let reporting = async {
        if let Some(latents) = latents.filter(|_| !ending.is_interruption()) {
            // Before the report: if this worker dies in between, the next one gets the task and does the same.
            worker.remove_latent(latents).await;
        }
        worker.report(lease, ending, seat).await;
        seat.lease_over();
    };
    let cleaning = async {
        for prompt in &seat.prompts() {
            worker.engine.clean_up(prompt, STOP_PATIENCE).await;
        }
        if let Some(latents) = latents.filter(|_| lease.recheck) {
            worker.take_back(latents).await;
        }
    };
    // The image is over once it is reported.
    tokio::join!(reporting.instrument(image), cleaning);
}

async fn unless_stopped(seat: &Seat, work: impl Future<Output = Ending>) -> Ending {
    tokio::select! {
        biased;
        stop = seat.stopped() => Ending::Stopped(stop),
        ending = work => ending,
    }
}

impl Worker {
    /// The job's payload, for as long as it takes to get it.
    async fn spec_of(&self, lease: &Lease) -> Result<TaskSpec, Ending> {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            match self.queue.spec_of(lease).await {
                Ok(spec) => return Ok(spec),
                Err(error @ queue::Error::Malformed { .. }) => {
                    return Err(Ending::rejected(Reason::BadPayload, error));
                }
                // The job was forgotten: nobody wants the image, and nobody waits for a word on it.
                Err(queue::Error::Unknown { .. }) => return Err(Ending::Stopped(Stop::Cancelled)),
                Err(error) => self.health.redis.fails(error),
            }
            backoff.wait().await;
        }
    }

    async fn attempt(&self, task: Task<'_>, seat: &Seat) -> Ending {
        if task.lease.recheck
            && let Some(found) = self.find(task.lease, task.spec).await
        {
            return Ending::Done(found);
        }
        let mut begun = match task.latents.filter(|_| task.lease.recheck) {
            Some(latents) => self.begun(latents).await,
            None => None,
        };
        let mut tried = Tried::default();
        loop {
            let made = match self.make(task, &mut begun, &mut tried, seat).await {
                Ok(made) => made,
                Err(ending) => return ending,
            };
            match self.deliver(task.lease, task.spec, &made).await {
                Ok(result) => return Ending::Done(result),
                Err(Undelivered::Lost(lost)) if lost.is_stale() && !tried.stale => {
                    tracing::warn!(task = %task.lease.task, %lost, "the engine gave out an old file: making it anew");
                    tried.stale = true;
                    if let Err(error) = self.engine.free_memory().await {
                        return Ending::crashed(error);
                    }
                }
                Err(Undelivered::Lost(lost)) => {
                    tracing::warn!(task = %task.lease.task, %lost, "the picture is lost");
                    return lost.ending();
                }
                Err(Undelivered::Ended(ending)) => return ending,
            }
        }
    }

    /// Generates, with a second try where that may help.
    async fn make(
        &self,
        task: Task<'_>,
        begun: &mut Option<Begun>,
        tried: &mut Tried,
        seat: &Seat,
    ) -> Result<Made, Ending> {
        let name = &task.lease.task;
        loop {
            // Each time: an engine that was restarted has lost them.
            let preparing = self.inputs.prepare(&name.job, &task.spec.inputs);
            let inputs = preparing.instrument(tracing::info_span!("inputs")).await;
            let inputs = inputs.map_err(|error| {
                tracing::warn!(task = %name, %error, "an input can't be had");
                error.ending()
            })?;
            match self.run_prompt(task, begun.as_ref(), &inputs, seat).await {
                Ok(made) => return Ok(made),
                // The latent may be to blame, and the picture can do without it.
                Err(trouble @ (Trouble::Refused(_) | Trouble::Failed(_))) if begun.take().is_some() => {
                    tracing::warn!(task = %name, %trouble, "can't go on from a latent: starting over");
                }
                Err(Trouble::OutOfMemory(failure)) if !tried.freed => {
                    tracing::warn!(task = %name, why = failure.words(), "out of memory: freeing it for another try");
                    tried.freed = true;
                    if let Err(error) = self.engine.free_memory().await {
                        return Err(Ending::crashed(error));
                    }
                }
                Err(trouble @ Trouble::Lost(_)) if !tried.lost => {
                    tracing::warn!(task = %name, %trouble, "once more");
                    tried.lost = true;
                }
                Err(trouble) => return Err(self.not_made(task.lease, seat, &trouble)),
            }
        }
    }

    fn not_made(&self, lease: &Lease, seat: &Seat, trouble: &Trouble) -> Ending {
        tracing::warn!(task = %lease.task, attempt = lease.attempt, %trouble, "no picture");
        let begun = seat.has_begun();
        match trouble {
            // What waited behind another picture has nothing to do with it.
            Trouble::Died(_) | Trouble::Unhealthy(_) if begun => self.metrics.engine_deaths.inc(),
            Trouble::DiskFull(why) => self.health.disk.fails_for(Reason::DiskFull, why),
            _ => {}
        }
        Ending::of(trouble, begun)
    }

    /// One run of the graph in the engine, or of what is left of it.
    async fn run_prompt(
        &self,
        task: Task<'_>,
        begun: Option<&Begun>,
        inputs: &Prepared<'_>,
        seat: &Seat,
    ) -> Result<Made, Trouble> {
        let Task { lease, spec, latents: _ } = task;
        let id = PromptId::random();
        let Graph { mut nodes, seed, segments } =
            Graph::new(spec, lease.task.index, &prefix(lease, &id), begun);
        inputs.place(&mut nodes);
        let timeout = Duration::from_secs(spec.timeout_seconds.into());
        seat.prompted(id.clone(), lease.units * share_left(&segments));
        let prompt = Prompt { id, graph: nodes, segments, outputs: spec.outputs.clone(), timeout };
        let span = tracing::info_span!("generate", imagejob.load_ms = Empty, imagejob.decode_ms = Empty);
        let Generated { outputs, engine_ms, load_ms, decode_ms } =
            self.generate(task, begun, &prompt, seat).instrument(span.clone()).await?;
        span.record("imagejob.load_ms", load_ms).record("imagejob.decode_ms", decode_ms);
        let took = Duration::from_millis(engine_ms);
        seat.generated(took);
        self.metrics.engine_seconds.observe(took.as_secs_f64());
        let (steps, before_ms) = begun.map_or((0, 0), |begun| (begun.steps, begun.gpu_ms));
        self.metrics.steps_resumed.inc_by(steps.into());
        let timings = Timings {
            queue_ms: lease.queued_ms,
            load_ms,
            sample_ms: engine_ms.saturating_sub(load_ms + decode_ms),
            decode_ms,
            upload_ms: 0,
        };
        Ok(Made { outputs, seed, engine_ms: before_ms.saturating_add(engine_ms), timings })
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
        let pass_on = move |progress: &Progress| {
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
        let (generated, ()) = tokio::join!(self.engine.generate(prompt, pass_on), keeping);
        generated
    }
}

/// What the names of a prompt's files begin with. It is new for each prompt, as the engine answers one that it has run
/// before with the old file's name. The engine reads a whole folder to name a file, so none gets too many.
fn prefix(lease: &Lease, id: &PromptId) -> String {
    const PER_FOLDER: u32 = 500;
    let index = lease.task.index;
    format!("{}/{}/{index}-{id}", lease.task.job, index / PER_FOLDER)
}

/// How much of a picture's work is in these segments of it.
fn share_left(segments: &[Segment]) -> f64 {
    match (segments.first(), segments.last()) {
        (Some(first), Some(last)) => 1.0 - f64::from(first.steps.start) / f64::from(last.steps.end),
        _ => 1.0,
    }
}
