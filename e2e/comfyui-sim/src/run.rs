//! Runs the prompts of the queue one after another.
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use serde_json::{Map, Value, json};
use tokio::task::yield_now;

use crate::{
    exception::Exception,
    fault_effects,
    nodes::{self, Inputs, Made, Saving},
    order::ToRun,
    python_json,
    queue::{Item, Outcome},
    report::{Reach, Report},
    server::{Server, scaled},
    signature::{Signature, signatures},
    slow_nodes,
    sockets::To,
};

/// Runs prompts for ever.
pub(crate) async fn run(server: Arc<Server>) {
    let mut runner = Runner { server: server.clone(), results: HashMap::new() };
    loop {
        while let Some(item) = server.start() {
            let outcome = runner.prompt(&item).await;
            server.finish(outcome);
            if let Some(client) = item.client() {
                let data = json!({"node": null, "prompt_id": item.id});
                server.sockets.send("executing", &data, To::Client(client.clone()));
            }
            // The clients receive this before the next prompt's work.
            yield_now().await;
        }
        server.work.notified().await;
    }
}

struct Runner {
    server: Arc<Server>,
    /// The results of the last prompt's nodes. An equal node in the next prompt does not run again.
    results: HashMap<Signature, Arc<Made>>,
}

/// The reason why a node did not finish.
pub(crate) enum Stop {
    Interrupted,
    Raised(Exception),
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Self::Raised(exception)
    }
}

/// The state of the running prompt.
pub(crate) struct Progress<'a> {
    pub(crate) item: &'a Item,
    pub(crate) report: Report<'a>,
    /// The nodes that have run.
    executed: Vec<String>,
    /// The number of steps taken in all nodes.
    pub(crate) steps: u32,
    /// Whether its latents become NaN.
    pub(crate) black: bool,
    /// Whether it stops on an interrupt.
    pub(crate) interruptible: bool,
}

impl Progress<'_> {
    /// Stops here if a client has asked for it.
    pub(crate) fn check_interrupt(&self, server: &Server) -> Result<(), Stop> {
        if server.take_interrupt() && self.interruptible { Err(Stop::Interrupted) } else { Ok(()) }
    }
}

impl Runner {
    async fn prompt(&mut self, item: &Item) -> Outcome {
        let server = self.server.clone();
        if std::mem::take(&mut server.state().free) {
            self.results.clear();
            server.state().memory.loaded = None;
        }
        let signatures = signatures(&server, item);
        let current: HashSet<&Signature> = signatures.values().collect();
        self.results.retain(|signature, _| current.contains(signature));

        let mut progress = Progress {
            item,
            report: Report::new(&server, item),
            executed: Vec::new(),
            steps: 0,
            // A NaN among the inputs of a model or a sampler makes the picture black.
            black: python_json::has_nan(&Value::Object(item.prompt.clone())),
            interruptible: true,
        };
        progress.report.message("execution_start", json!({}), Reach::Nobody);
        let is_cached = |id: &str| signatures.get(id).is_some_and(|s| self.results.contains_key(s));
        let cached: Vec<&String> = item.prompt.keys().filter(|id| is_cached(id)).collect();
        progress.report.cached(&cached);

        let mut to_run = ToRun::new(&server.catalog(), &item.prompt, &item.outputs, is_cached);
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
            fault_effects::apply(&self.server, progress).await?;
        }
        progress.check_interrupt(&self.server)?;
        let results = &self.results;
        let made = |id: &str| results.get(signatures.get(id)?).cloned();
        let inputs = Inputs::new(&progress.item.prompt, node, made)
            .ok_or_else(|| Exception::new("KeyError", "'inputs'"))?;
        let class = progress.item.prompt[node]["class_type"].as_str().unwrap_or_default();
        let made = Arc::new(match class {
            "SaveImageWebsocket" => send_pictures(progress, node, &inputs)?,
            "ImageUpscaleWithModel" => slow_nodes::upscale(&self.server, progress, node, &inputs).await?,
            class if slow_nodes::is_sampler(class) => {
                slow_nodes::sample(&self.server, progress, node, class, &inputs).await?
            }
            _ => {
                self.pass_time(class, &inputs).await;
                self.plain_node(class, &inputs, progress.item).await?
            }
        });
        self.results.insert(signature, made.clone());
        progress.executed.push(node.to_owned());
        if let Some(shown) = &made.shown {
            progress.report.executed(node, shown);
        }
        progress.report.finished(node);
        Ok(made)
    }

    /// Runs a node that reports no progress.
    async fn plain_node(&self, class: &str, inputs: &Inputs<'_>, item: &Item) -> Result<Made, Exception> {
        let server = &self.server;
        if nodes::bytes_to_make(class, inputs) > server.state().memory.ram_free(&server.options.machine) {
            fault_effects::die(server).await;
        }
        let writes = nodes::writes(class);
        let disk_full = writes && server.disk_full();
        let spoilt = writes.then(|| server.spoilt()).flatten();
        let saving = Saving { files: &server.files, texts: &texts(item), disk_full, spoilt };
        let catalog = server.catalog();
        let about = catalog.class(class).ok_or_else(|| Exception::new("KeyError", format!("'{class}'")))?;
        nodes::run(class, about, inputs, &saving)
    }

    /// Waits for the work that takes time besides sampling.
    async fn pass_time(&self, class: &str, inputs: &Inputs<'_>) {
        let timing = &self.server.options.timing;
        let time = match class {
            "CheckpointLoaderSimple" => self.load(inputs.text("ckpt_name")),
            "UNETLoader" => self.load(inputs.text("unet_name")),
            "VAEDecode" | "VAEDecodeTiled" => slow_nodes::decoding(&self.server, inputs),
            class if nodes::writes(class) => timing.save,
            _ => return,
        };
        let time = scaled(time, timing.speed);
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }

    /// Loads a model into the GPU's memory; returns how long that takes.
    fn load(&self, model: &str) -> Duration {
        let mut state = self.server.state();
        if state.memory.loaded.as_deref() == Some(model) {
            return Duration::ZERO;
        }
        state.memory.loaded = Some(model.to_owned());
        state.stats.loads += 1;
        self.server.options.timing.load + state.faults.load_delay()
    }
}

/// Runs SaveImageWebsocket: sends the pictures as binary frames, with a step of progress before each.
fn send_pictures(progress: &mut Progress<'_>, node: &str, inputs: &Inputs<'_>) -> Result<Made, Exception> {
    let pictures = inputs.pictures("images")?;
    let count = pictures.pixels.len();
    for index in 0..count {
        let picture = pictures.only(index);
        progress.report.progress(node, index, count, Some(&picture));
    }
    Ok(Made::default())
}

fn report_stop(progress: &mut Progress<'_>, node: &str, stop: Stop) {
    let about = &progress.item.prompt[node];
    let mut data = json!({"node_id": node, "node_type": about["class_type"], "executed": progress.executed});
    match stop {
        Stop::Interrupted => progress.report.message("execution_interrupted", data, Reach::Everyone),
        Stop::Raised(exception) => {
            data["exception_message"] = json!(format!("{}\n{}", exception.message, exception.tips()));
            data["exception_type"] = json!(exception.kind);
            data["traceback"] = json!(["  File \"execution.py\", line 496, in execute\n"]);
            let constants = about["inputs"].as_object().into_iter().flatten();
            let shown = constants.map(|(name, value)| (name.clone(), json!([value])));
            data["current_inputs"] = shown.collect::<Map<String, Value>>().into();
            data["current_outputs"] = progress.item.prompt.keys().cloned().collect();
            progress.report.message("execution_error", data, Reach::Nobody);
        }
    }
}

/// The texts that are written into files: the prompt, and the data that the client adds.
fn texts(item: &Item) -> Vec<(&str, String)> {
    let extra = item.extra.get("extra_pnginfo").and_then(Value::as_object);
    let extra = extra.into_iter().flatten().map(|(name, value)| (name.as_str(), python_json::dumps(value)));
    std::iter::once(("prompt", python_json::dumps(&Value::Object(item.prompt.clone()))))
        .chain(extra)
        .collect()
}
