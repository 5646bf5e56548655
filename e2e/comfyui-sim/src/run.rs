//! Runs the prompts of the queue, one after the other.
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value, json};
use tokio::{task::yield_now, time::Instant};

use crate::{
    faults::FaultKind,
    nodes::{self, Data, Exception, Inputs, Made},
    options::Previews,
    order::ToRun,
    picture::Pictures,
    queue::{Item, Outcome},
    report::{Reach, Report},
    sampler,
    server::{Server, scaled},
    signature::{Signature, signatures},
    sockets::To,
};

/// Runs prompts for ever.
pub(crate) async fn run(server: Arc<Server>) {
    let mut runner = Runner { server: server.clone(), results: HashMap::new(), loaded: None };
    loop {
        while let Some(item) = server.start() {
            let outcome = runner.prompt(&item).await;
            server.finish(outcome);
            if let Some(client) = item.client() {
                let data = json!({"node": null, "prompt_id": item.id});
                server.sockets.send("executing", &data, To::Client(client.clone()));
            }
            // Let the clients hear of it before the next prompt's work.
            yield_now().await;
        }
        server.work.notified().await;
    }
}

struct Runner {
    server: Arc<Server>,
    /// Of the nodes of the last prompt; an equal node in the next one is not run again.
    results: HashMap<Signature, Arc<Made>>,
    /// The checkpoint in memory.
    loaded: Option<String>,
}

/// Why a node did not finish.
enum Stop {
    Interrupted,
    Raised(Exception),
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Self::Raised(exception)
    }
}

/// A prompt under way.
struct Progress<'a> {
    item: &'a Item,
    report: Report<'a>,
    /// The nodes that ran.
    executed: Vec<String>,
    /// Sampling steps taken, over all nodes.
    steps: u32,
    /// Its latents turn into NaN.
    black: bool,
}

impl Runner {
    async fn prompt(&mut self, item: &Item) -> Outcome {
        let server = self.server.clone();
        if std::mem::take(&mut server.state().free) {
            self.results.clear();
            self.loaded = None;
        }
        let signatures = signatures(&server, item);
        let current: HashSet<&Signature> = signatures.values().collect();
        self.results.retain(|signature, _| current.contains(signature));

        let mut progress = Progress {
            item,
            report: Report::new(&server, item),
            executed: Vec::new(),
            steps: 0,
            black: false,
        };
        progress.report.message("execution_start", json!({}), Reach::Nobody);
        let is_cached = |id: &str| signatures.get(id).is_some_and(|s| self.results.contains_key(s));
        let cached: Vec<&String> = item.prompt.keys().filter(|id| is_cached(id)).collect();
        progress.report.cached(&cached);

        let mut to_run = ToRun::new(&server.catalog, &item.prompt, &item.outputs, is_cached);
        let mut outputs = Map::new();
        let mut success = true;
        while let Some(node) = to_run.next() {
            match self.node(&mut progress, &node, &signatures).await {
                Ok(made) => outputs.extend(made.shown.clone().map(|shown| (node, shown))),
                Err(stop) => {
                    report_stop(&mut progress, &node, stop);
                    success = false;
                    break;
                }
            }
        }
        if success {
            progress.report.message("execution_success", json!({}), Reach::Nobody);
        }
        Outcome { success, outputs, messages: progress.report.into_messages() }
    }

    async fn node(
        &mut self,
        progress: &mut Progress<'_>,
        node: &str,
        signatures: &HashMap<String, Signature>,
    ) -> Result<Arc<Made>, Stop> {
        let signature = signatures.get(node).copied().unwrap_or_default();
        if let Some(made) = self.results.get(&signature) {
            if let Some(shown) = &made.shown {
                progress.report.executed(node, shown);
            }
            progress.report.finished(node);
            return Ok(made.clone());
        }
        progress.report.started(node);
        yield_now().await;
        if progress.executed.is_empty() {
            self.faults(progress).await?;
        }
        if self.server.take_interrupt() {
            return Err(Stop::Interrupted);
        }
        let results = &self.results;
        let made = |id: &str| results.get(signatures.get(id)?).cloned();
        let inputs = Inputs::new(&progress.item.prompt, node, made)
            .ok_or_else(|| Exception::new("KeyError", "'inputs'"))?;
        let class = progress.item.prompt[node]["class_type"].as_str().unwrap_or_default();
        let made = Arc::new(match class {
            "KSampler" | "KSamplerAdvanced" => sample(&self.server, progress, node, class, &inputs).await?,
            "SaveImageWebsocket" => send_pictures(progress, node, &inputs)?,
            _ => {
                self.pass_time(class, &inputs).await;
                nodes::run(class, &inputs, &self.server.files, &texts(progress.item))?
            }
        });
        if let ("CheckpointLoaderSimple", Some(Data::Model(model))) = (class, made.data.first()) {
            self.loaded = Some(model.clone());
        }
        self.results.insert(signature, made.clone());
        progress.executed.push(node.to_owned());
        if let Some(shown) = &made.shown {
            progress.report.executed(node, shown);
        }
        progress.report.finished(node);
        Ok(made)
    }

    /// What takes time besides sampling.
    async fn pass_time(&self, class: &str, inputs: &Inputs<'_>) {
        let timing = &self.server.options.timing;
        let time = match class {
            "CheckpointLoaderSimple" if self.loaded.as_deref() != Some(inputs.text("ckpt_name")) => {
                let mut state = self.server.state();
                state.stats.loads += 1;
                timing.load + state.faults.load_delay()
            }
            "SaveImage" => timing.save,
            _ => return,
        };
        let time = scaled(time, timing.speed);
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }

    async fn faults(&self, progress: &mut Progress<'_>) -> Result<(), Stop> {
        faults(&self.server, progress).await
    }
}

/// The faults due after the steps taken so far.
async fn faults(server: &Server, progress: &mut Progress<'_>) -> Result<(), Stop> {
    let at_prompt_or_load =
        |kind: &FaultKind| matches!(kind, FaultKind::PromptError | FaultKind::SlowLoad { .. });
    let due = server.state().faults.take(progress.steps, |kind| !at_prompt_or_load(kind));
    if server.state().cuda_broken {
        return Err(cuda_error().into());
    }
    for fault in due {
        match fault {
            FaultKind::Crash => {
                server.down.cancel();
                std::future::pending::<()>().await;
            }
            FaultKind::Hang => std::future::pending().await,
            FaultKind::OutOfMemory => return Err(out_of_memory().into()),
            FaultKind::CudaError => {
                server.state().cuda_broken = true;
                return Err(cuda_error().into());
            }
            FaultKind::Silence => server.sockets.silence(true),
            FaultKind::DropSockets => server.sockets.cut(),
            FaultKind::BlackImage => progress.black = true,
            FaultKind::PromptError | FaultKind::SlowLoad { .. } => {}
        }
    }
    Ok(())
}

async fn sample(
    server: &Server,
    progress: &mut Progress<'_>,
    node: &str,
    class: &str,
    inputs: &Inputs<'_>,
) -> Result<Made, Stop> {
    let latent = inputs.latent("latent_image")?;
    let step_time = step_time(server, &latent);
    let sampling = inputs.sampling(class)?;
    let mut run = sampler::Run::new(&sampling, Arc::unwrap_or_clone(latent));
    let steps = run.steps();
    let mut next = Instant::now();
    for step in 1..=steps {
        run.step();
        next += step_time;
        if step_time.is_zero() {
            yield_now().await;
        } else {
            tokio::time::sleep_until(next).await;
        }
        if server.take_interrupt() {
            return Err(Stop::Interrupted);
        }
        server.state().stats.steps += 1;
        server.record.step(&sampling, step);
        progress.steps += 1;
        let preview = match server.options.previews {
            Previews::None => None,
            Previews::EveryStep => Some(Pictures::decode(run.latent())),
        };
        progress.report.progress(node, step, steps, preview.as_ref());
        faults(server, progress).await?;
    }
    let mut latent = run.finish();
    if progress.black {
        latent.data.fill(f32::NAN);
    }
    Ok(Data::Latent(Arc::new(latent)).into())
}

#[allow(clippy::cast_precision_loss, reason = "sizes are small")]
fn step_time(server: &Server, latent: &crate::latent::Latent) -> std::time::Duration {
    /// Latent values in a 512 × 512 picture.
    const UNIT: f64 = 64.0 * 64.0;
    let timing = &server.options.timing;
    let units = (latent.batch * latent.plane_size()) as f64 / UNIT;
    scaled(timing.step.mul_f64(units), timing.speed)
}

/// SaveImageWebsocket: the pictures go out as binary frames, with a step of progress before each.
fn send_pictures(progress: &mut Progress<'_>, node: &str, inputs: &Inputs<'_>) -> Result<Made, Exception> {
    let pictures = inputs.pictures("images")?;
    let count = pictures.pixels.len();
    for (index, pixels) in pictures.pixels.iter().enumerate() {
        let picture = Pictures { pixels: vec![pixels.clone()], ..*pictures };
        progress.report.progress(node, index, count, Some(&picture));
    }
    Ok(Made::default())
}

fn report_stop(progress: &mut Progress<'_>, node: &str, stop: Stop) {
    let about = &progress.item.prompt[node];
    let mut data = json!({"node_id": node, "node_type": about["class_type"], "executed": progress.executed});
    match stop {
        Stop::Interrupted => progress.report.message("execution_interrupted", data, Reach::Everyone),
        Stop::Raised(Exception { kind, message }) => {
            let tips = match kind.as_str() {
                OUT_OF_MEMORY => {
                    "This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before \
                     you might have accidentally set the batch_size to a large number."
                }
                _ => "",
            };
            data["exception_message"] = json!(format!("{message}\n{tips}"));
            data["exception_type"] = json!(kind);
            data["traceback"] = json!(["  File \"execution.py\", line 496, in execute\n"]);
            let constants = about["inputs"].as_object().into_iter().flatten();
            let shown = constants.map(|(name, value)| (name.clone(), json!([value])));
            data["current_inputs"] = shown.collect::<Map<String, Value>>().into();
            data["current_outputs"] = progress.item.prompt.keys().cloned().collect();
            progress.report.message("execution_error", data, Reach::Nobody);
        }
    }
}

const OUT_OF_MEMORY: &str = "torch.OutOfMemoryError";

fn out_of_memory() -> Exception {
    let message = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.99 GiB of which \
                   1.02 GiB is free.";
    Exception::new(OUT_OF_MEMORY, message)
}

fn cuda_error() -> Exception {
    let message = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously \
                   reported at some other API call, so the stacktrace below might be incorrect.";
    Exception::new("torch.AcceleratorError", message)
}

/// The texts that go into files: the prompt, and what the client wants put beside it.
fn texts(item: &Item) -> Vec<(&str, String)> {
    let extra = item.extra.get("extra_pnginfo").and_then(Value::as_object);
    let extra = extra.into_iter().flatten().map(|(name, value)| (name.as_str(), ascii(value)));
    std::iter::once(("prompt", ascii(&Value::Object(item.prompt.clone())))).chain(extra).collect()
}

/// JSON as Python writes it: everything beyond ASCII escaped.
fn ascii(value: &Value) -> String {
    let mut text = String::new();
    for character in value.to_string().chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}
