//! The main job, from `kubectl apply` to pictures, with a machine that dies in between.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use crds::{ImageJob, ImageRecipe, names::LABEL_FRONT};
use e2e::{CloudOptions, Finished, Studio, World, WorldOptions};
use kube::api::{ListParams, PostParams};
use queue::{LeaseSeen, Stats};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    engine::Engine,
    front::{Front, short},
    table,
    timeline::{LOOK_AGAIN, Timeline},
    work,
};

const DEADLINE: Duration = Duration::from_secs(600);
/// The urgent job that is created just after the machine has died.
const POSTER: &str = "poster";

/// Runs the story and cleans up.
pub(crate) async fn show() -> Result<()> {
    let begun = Instant::now();
    let engine = Engine::from_environment()?;
    println!("The ImageJob operator, on this machine:");
    println!("  real: API server, scheduler, controllers, kubelets, Redis, S3 protocol, operator, workers");
    println!("  SIMULATED: machines are processes, and a process stands in for each container");
    println!("  {}\n", engine.description);
    println!("Starting the control plane, Redis, S3 and the operator …");
    let world = world(&engine).await?;
    println!("… up after {:.0} s.\n", begun.elapsed().as_secs_f64());
    let studio = Studio::open(&world, "studio", |_| ()).await?;
    let mut timeline = Timeline::new(&studio, studio.queue().await?);

    refuse_nonsense(&studio, &timeline, &engine.model).await?;
    let (jobs, generated) = apply(&studio, &timeline, &engine).await?;
    let finished = watch(&studio, &mut timeline, jobs, &engine.model).await?;
    timeline
        .say(&format!("POST /v1/images/generations: answered with a picture of {} bytes", generated.await??));
    back_to_zero(&mut timeline).await?;
    table::print(&finished, Path::new("demo-out")).await?;
    println!(
        "\nThe demo took {:.0} s. To try kubectl yourself: make up, later make down.",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// The demo's cluster.
pub(crate) async fn world(engine: &Engine) -> Result<World> {
    let cloud = CloudOptions { boot: Duration::from_secs(3), ..CloudOptions::default() };
    World::start(&WorldOptions {
        cloud,
        engine: engine.options.clone(),
        api_servers: 2,
        ..WorldOptions::default()
    })
    .await
}

async fn refuse_nonsense(studio: &Studio<'_>, timeline: &Timeline<'_>, model: &str) -> Result<()> {
    timeline.say("kubectl apply: a job with width 100");
    let spec = e2e::picture(&json!({ "model": model, "prompt": "a crooked picture", "width": 100 }));
    let refused = studio.submit("crooked", spec).await.err().context("a width of 100 was not refused")?;
    println!("          refused: {}", words(&refused));
    timeline.say("kubectl apply: a workflow with an input misspelt, 6.txt");
    let mut misspelt = e2e::workflow(&harbour(model));
    misspelt["work"]["workflow"]["inputs"] = json!({ "6.txt": "a harbour at night" });
    studio.submit("misspelt", misspelt).await?;
    let (reason, message) = studio.ended("misspelt", DEADLINE).await?.ready();
    println!("          {reason}: {message}");
    Ok(())
}

/// The API server's message without its reason code.
fn words(refused: &anyhow::Error) -> String {
    match refused.chain().find_map(|error| error.downcast_ref::<kube::Error>()) {
        Some(kube::Error::Api(status)) => status.message.clone(),
        _ => refused.root_cause().to_string(),
    }
}

fn picture(model: &str, prompt: &str, steps: u32) -> Value {
    e2e::picture(&json!({ "model": model, "prompt": prompt, "steps": steps }))
}

/// Applies the first jobs of the story; returns their names, and the answer of the request that waits for its picture.
async fn apply(
    studio: &Studio<'_>,
    timeline: &Timeline<'_>,
    engine: &Engine,
) -> Result<(Vec<String>, JoinHandle<Result<usize>>)> {
    let model = &engine.model;
    let mut lighthouses = picture(model, "a lighthouse at dusk", 40);
    lighthouses["count"] = 4.into();
    let mut jobs = vec![("lighthouse", lighthouses), ("workflow", e2e::workflow(&harbour(model)))];
    timeline.say("kubectl apply: lighthouse (4 images), workflow (a raw ComfyUI graph)");
    if engine.is_simulated {
        studio.api::<ImageRecipe>().create(&PostParams::default(), &work::recipe(model)?).await?;
        timeline.say("kubectl apply: ImageRecipe inked (a graph with a LoRA, and names for its inputs)");
        timeline.say(
            "kubectl apply: woodcut (of that recipe), painted (a picture from a picture), stamp (WebP),",
        );
        timeline.say("               clip (eight frames)");
        jobs.extend(work::jobs(model));
    }
    let mut names = Vec::new();
    for (name, spec) in jobs {
        studio.submit(name, spec).await?;
        names.push(name.to_owned());
    }
    let front = Front::open(studio.world, &studio.namespace, model).await?;
    let ordered = front.order(model, "a ferry in the mist").await?;
    timeline.say(&format!("POST /v1/jobs: {} (1 image, with an API key)", short(&ordered)));
    names.push(ordered);
    let waiting = front.clone();
    let generated = tokio::spawn(async move { waiting.generate("a lantern in the snow").await });
    let asked = created_by(studio, "openai").await?;
    timeline.say(&format!("POST /v1/images/generations: {} (as OpenAI's SDKs ask, and wait)", short(&asked)));
    names.push(asked);
    Ok((names, generated))
}

/// The job that a request to this front creates.
async fn created_by(studio: &Studio<'_>, front: &str) -> Result<String> {
    let of_front = ListParams::default().labels(&format!("{LABEL_FRONT}={front}"));
    let jobs = studio.api::<ImageJob>();
    testkit::wait_for("the job of the request", DEADLINE, async || {
        let found = jobs.list_metadata(&of_front).await.ok()?;
        found.items.first().map(kube::ResourceExt::name_any)
    })
    .await
}

fn harbour(model: &str) -> Value {
    let mut graph = e2e::graph(model);
    (graph["5"]["inputs"]["width"], graph["5"]["inputs"]["height"]) = (768.into(), 512.into());
    graph["6"]["inputs"]["text"] = "a harbour in the rain".into();
    (graph["3"]["inputs"]["steps"], graph["3"]["inputs"]["scheduler"]) = (12.into(), "karras".into());
    graph
}

/// Shows the timeline until every job has ended. Meanwhile it kills one machine and creates an urgent job.
async fn watch(
    studio: &Studio<'_>,
    timeline: &mut Timeline<'_>,
    mut jobs: Vec<String>,
    model: &str,
) -> Result<Vec<Finished>> {
    let begun = Instant::now();
    let mut killed = false;
    let mut finished: Vec<Finished> = Vec::new();
    while finished.len() < jobs.len() {
        ensure!(begun.elapsed() < DEADLINE, "not done after {DEADLINE:?}\n{}", studio.world.dump());
        let stats = timeline.look().await?;
        if let Some((victim, lease)) = victim(studio, &stats).await?
            && !killed
        {
            let (done, all) = lease.progress.unwrap_or_default();
            let image = lease.task.index;
            timeline.say(&format!(
                "SIGKILL: the machine {victim} vanishes while image {image} is at step {done} of {all}"
            ));
            studio.world.kill_machine(&victim)?;
            killed = true;
            timeline.say("kubectl apply: poster (1 image, immediate)");
            let mut poster = picture(model, "a poster for tonight's concert", 20);
            poster["class"] = "immediate".into();
            studio.submit(POSTER, poster).await?;
            jobs.push(POSTER.to_owned());
        }
        finished.clear();
        for name in &jobs {
            finished.extend(studio.if_ended(name).await?);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    ensure!(killed, "no machine was caught in the middle of a picture");
    for job in &finished {
        let (reason, message) = job.ready();
        ensure!(reason == "Completed", "{reason}: {message}\n{}", studio.world.dump());
    }
    Ok(finished)
}

/// A spot machine that is making a picture, and the lease that it will lose.
async fn victim(studio: &Studio<'_>, stats: &Stats) -> Result<Option<(String, LeaseSeen)>> {
    let halfway = |lease: &&LeaseSeen| lease.progress.is_some_and(|(done, all)| done * 4 > all && done < all);
    let on_spot = |lease: &&LeaseSeen| lease.worker.0.contains("-spot-");
    let Some(lease) = stats.leases.iter().filter(halfway).find(on_spot) else { return Ok(None) };
    let node = studio.node_of(&lease.worker.0).await?;
    Ok(node.map(|node| (node, lease.clone())))
}

/// Shows how the pool scales to zero when there is no work.
async fn back_to_zero(timeline: &mut Timeline<'_>) -> Result<()> {
    timeline.say("every job is complete; idle workers and their machines go");
    let begun = Instant::now();
    while !timeline.is_empty() {
        ensure!(begun.elapsed() < DEADLINE, "workers are still there after {DEADLINE:?}");
        timeline.look().await?;
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    timeline.say("the pool is back to zero");
    Ok(())
}
