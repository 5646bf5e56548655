//! Hours of a recorded spot market in about a minute: what the fleet, the queue and the bill make of it.
//!
//! The market is played faster; everything else takes the time it takes here, machines to boot as well as pictures.

mod chart;
mod market;
mod screen;
mod summary;
mod watch;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use e2e::{CloudOptions, EngineOptions, Studio, World, WorldOptions};
use serde_json::{Value, json};

use self::{
    market::{MACHINES, Market, SPEED, ZONE, clock},
    screen::Screen,
    watch::{History, Watch},
};

/// Someone asks for an image so often.
const IMAGE_EVERY: Duration = Duration::from_millis(800);
/// The class's promise.
const SLA_SECONDS: u32 = 30;
/// 20 steps: an image takes 2 s.
const STEP_MS: &str = "100";
const STEPS: u32 = 20;
const ON_DEMAND_MACHINES: u32 = 3;
/// How often the cluster is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// How long a warm-up, and what is left at the end, may take.
const DEADLINE: Duration = Duration::from_secs(180);
const CHART: &str = "target/demo-spot.svg";

/// Runs it, and cleans up.
pub(crate) async fn show() -> Result<()> {
    let market = Market::recorded()?;
    introduce(&market);
    let (_trace, spot_trace) = market.write()?;
    let cloud = CloudOptions {
        zones: vec![ZONE.to_owned()],
        spot: MACHINES,
        spot_trace: Some(spot_trace),
        on_demand: ON_DEMAND_MACHINES,
        boot: Duration::from_secs(1),
        keep_empty: Duration::from_secs(3),
        keep_gone: Duration::from_secs(3),
    };
    let args = ["--step-ms", STEP_MS, "--models", e2e::MODEL].map(str::to_owned).into();
    let engine = EngineOptions { args, command: None };
    println!("Starting the control plane, Redis, S3 and the operator …");
    let world =
        World::start(&WorldOptions { cloud, engine, operators: 1, ..WorldOptions::default() }).await?;
    let studio = Studio::open(&world, "studio", pool).await?;
    warm_up(&studio).await?;

    let watch = Watch::new(&studio).await?;
    let mut history = History::new(market.ticks());
    world.restart_spot_traces()?;
    let begun = Instant::now();
    let asked = tokio::try_join!(
        ask(&studio, begun, market.lasts()),
        follow(&watch, &market, &mut history, begun, market.lasts()),
    )?
    .0;
    let jobs = watch.jobs().await?;
    chart::write(Path::new(CHART), &market, &history)?;
    summary::print(&jobs, asked, &watch.cost().await?).await?;
    println!("\nThe chart: {CHART}. The market took {:.0} s.", begun.elapsed().as_secs_f64());
    Ok(())
}

fn introduce(market: &Market) {
    println!("The ImageJob operator on a spot market, on this machine:");
    println!("  real: API server, scheduler, controllers, kubelets, Redis, S3 protocol, operator, workers");
    println!("  SIMULATED: machines are processes, and the engine takes the time a GPU would");
    println!(
        "  the market: AWS V100 in {ZONE}, recorded; {MACHINES} machines here where there were 16\n  \
         TIME: the market runs {SPEED} times faster, {} h in {} s. Nothing else does: an image takes 2 s, and is\n  \
         promised within {SLA_SECONDS} s\n",
        clock(market.time_of(market.ticks())),
        market.lasts().as_secs()
    );
}

fn pool(spec: &mut Value) {
    spec["capacity"]["spot"]["max"] = MACHINES.into();
    // As recorded in that region.
    spec["capacity"]["spot"]["pricePerHour"] = "0.918".into();
    spec["capacity"]["onDemand"]["max"] = ON_DEMAND_MACHINES.into();
    spec["classes"][1]["slaSeconds"] = SLA_SECONDS.into();
    // Short, as the market is: ten seconds of it are an hour.
    spec["scaling"] = json!({ "idleSeconds": 4, "spotShortageSeconds": 10 });
}

/// One image of each kind of machine: from then on the pool knows how long starts and images take.
async fn warm_up(studio: &Studio<'_>) -> Result<()> {
    println!("Warming up: an image on spot, an image on demand …");
    let classes = ["standard", "immediate"];
    for class in classes {
        studio.submit(class, image(class, "a first picture")).await?;
    }
    for class in classes {
        studio.complete(class, DEADLINE).await?;
        studio.delete(class).await?;
    }
    Ok(())
}

fn image(class: &str, prompt: &str) -> Value {
    json!({ "class": class, "textToImage": { "model": e2e::MODEL, "prompt": prompt, "steps": STEPS } })
}

/// Asks for an image at a time, steadily; how many in all.
async fn ask(studio: &Studio<'_>, begun: Instant, lasts: Duration) -> Result<u32> {
    let mut beats = tokio::time::interval_at(begun.into(), IMAGE_EVERY);
    let mut asked = 0;
    while begun.elapsed() < lasts {
        beats.tick().await;
        studio.submit(&format!("image-{asked}"), image("standard", "a harbour at dusk")).await?;
        asked += 1;
    }
    Ok(asked)
}

/// Shows what goes on until the market's time is over and every image is made.
async fn follow(
    watch: &Watch<'_>,
    market: &Market,
    history: &mut History,
    begun: Instant,
    lasts: Duration,
) -> Result<()> {
    let mut screen = Screen::open();
    let mut beats = tokio::time::interval(LOOK_EVERY);
    loop {
        beats.tick().await;
        let at = begun.elapsed();
        let moment = watch.look().await?;
        let ended = moment.asked == moment.in_time + moment.late;
        history.add(market.tick_after(at), moment);
        screen.show(market, history, at);
        if at > lasts && ended {
            return Ok(());
        }
        ensure!(at < lasts + DEADLINE, "images are still not made {DEADLINE:?} after the last was asked for");
    }
}
