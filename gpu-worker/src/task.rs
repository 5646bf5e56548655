use std::{sync::Arc, time::Duration};

use queue::{Lease, Release, TaskResult, TaskSpec, Written};

use crate::{
    backoff::Backoff,
    comfyui::{Generated, Output, Prompt, PromptId, Trouble},
    ending::{Ending, Reason},
    graph::Graph,
    held::{Seat, Stage, Stop},
    image::Image,
    metrics::Outcome,
    worker::Worker,
};

/// A prompt stops at its next step or node; with large pictures on slow cards that may take a while.
const STOP_PATIENCE: Duration = Duration::from_secs(120);
/// A picture under which the engine died so often is to blame for it.
const DEATHS: u32 = 3;

/// What came out of the engine.
#[derive(Debug)]
struct Drawn {
    generated: Generated,
    seed: Option<u64>,
}

/// Pictures made, not stored yet.
#[derive(Debug)]
pub(crate) struct Made {
    /// The task's own first.
    pub(crate) images: Vec<Image>,
    pub(crate) seed: Option<u64>,
    pub(crate) engine_ms: u64,
}

/// One lease, from claim to its last word to the queue: prepare, generate, upload, report.
pub(crate) async fn run(worker: Arc<Worker>, lease: Lease, seat: Seat) {
    let ending = tokio::select! {
        biased;
        stop = seat.stopped() => Ending::Stopped(stop),
        ending = worker.attempt(&lease, &seat) => ending,
    };
    let prompt = seat.prompt();
    seat.enter(if prompt.is_some() { Stage::Stopping } else { Stage::Reporting });
    let reporting = async {
        worker.report(&lease, ending).await;
        seat.lease_over();
    };
    let stopping = async {
        if let Some(prompt) = &prompt {
            worker.engine.cancel(prompt, STOP_PATIENCE).await;
        }
    };
    tokio::join!(reporting, stopping);
}

impl Worker {
    async fn attempt(&self, lease: &Lease, seat: &Seat) -> Ending {
        let spec = match lease.spec() {
            Ok(spec) => spec,
            Err(error) => return Ending::rejected(Reason::BadPayload, error),
        };
        if lease.recheck
            && let Some(found) = self.find(lease).await
        {
            return Ending::Done(found);
        }
        let made = match self.make(lease, &spec, seat).await {
            Ok(drawn) => looked_at(drawn),
            Err(ending) => Err(ending),
        };
        match made {
            Ok(made) => self.deliver(lease, &made).await,
            Err(ending) => ending,
        }
    }

    /// Generates, with a second try where that may help.
    async fn make(&self, lease: &Lease, spec: &TaskSpec, seat: &Seat) -> Result<Drawn, Ending> {
        let mut freed = false;
        let mut lost = false;
        loop {
            match self.draw(lease, spec, seat).await {
                Ok(drawn) => {
                    self.deaths.survived(&lease.task);
                    return Ok(drawn);
                }
                Err(Trouble::OutOfMemory(failure)) if !freed => {
                    tracing::warn!(task = %lease.task, why = failure.words(), "out of memory: freeing it for another try");
                    freed = true;
                    if let Err(trouble) = self.engine.free_memory().await {
                        return Err(Ending::in_trouble(&trouble, false));
                    }
                }
                Err(trouble @ Trouble::Lost(_)) if !lost => {
                    tracing::warn!(task = %lease.task, %trouble, "once more");
                    lost = true;
                }
                Err(trouble) => return Err(self.undrawn(lease, seat, &trouble)),
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

    /// One run of the graph in the engine.
    async fn draw(&self, lease: &Lease, spec: &TaskSpec, seat: &Seat) -> Result<Drawn, Trouble> {
        let id = PromptId::draw();
        let prefix = format!("{}/{}-{id}", lease.task.job, lease.task.index);
        let Graph { nodes, seed } = Graph::new(&spec.work, lease.task.index, &prefix);
        let timeout = Duration::from_secs(spec.timeout_seconds.into());
        let prompt = Prompt { id, graph: nodes, timeout };
        seat.prompted(prompt.id.clone());
        let generated = self.engine.generate(&prompt, |progress| seat.progressed(progress)).await;
        if !matches!(generated, Err(Trouble::TimedOut(_))) {
            seat.unprompted();
        }
        let generated = generated?;
        let took = Duration::from_millis(generated.engine_ms);
        seat.generated(took);
        self.metrics.engine_seconds.observe(took.as_secs_f64());
        Ok(Drawn { generated, seed })
    }

    /// Tells the queue, for as long as it takes to reach it. Nothing is said of a lease that is not ours.
    async fn report(&self, lease: &Lease, ending: Ending) {
        let write = match ending {
            Ending::Stopped(Stop::Cancelled) => return self.metrics.task(Outcome::Cancelled),
            Ending::Stopped(Stop::Lost) => return self.metrics.task(Outcome::Lost),
            Ending::Stopped(Stop::HandBack) => Err(Release::Interrupted),
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
            Err(release) => self.queue.release(&self.id, task, *attempt, release).await,
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
            Err(Release::Interrupted) => Outcome::Interrupted,
            Err(Release::Failed { error, .. }) => {
                self.metrics.failure(&error.reason);
                tracing::warn!(%task, attempt, reason = error.reason, why = error.message, "failed");
                Outcome::Failed
            }
            Err(Release::Rejected { error }) => {
                self.metrics.failure(&error.reason);
                tracing::warn!(%task, attempt, reason = error.reason, why = error.message, "rejected");
                Outcome::Rejected
            }
        };
        tracing::info!(%task, attempt, ?outcome, "task over");
        self.metrics.task(outcome);
    }
}

/// The images among what the engine made.
fn looked_at(drawn: Drawn) -> Result<Made, Ending> {
    let Drawn { generated: Generated { outputs, engine_ms }, seed } = drawn;
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
