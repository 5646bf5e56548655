//! Replays hours of a recorded spot market in about a minute, and shows the fleet, the queue and the cost.
//!
//! The market runs faster than recorded. Everything else takes its normal time on this machine, including the boot of
//! machines.

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

/// The time between two jobs of one image.
const IMAGE_EVERY: Duration = Duration::from_millis(800);
/// The class's promise, in seconds.
const SLA_SECONDS: u32 = 30;
/// Milliseconds of a step: an image of 20 steps takes 2 s.
const STEP_MS: &str = "100";
const STEPS: u32 = 20;
const ON_DEMAND_MACHINES: u32 = 3;
/// The time between two checks of the cluster.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// The longest time for the warm-up, and for the remaining work at the end.
const DEADLINE: Duration = Duration::from_secs(180);
const CHART: &str = "target/demo-spot.svg";

/// Runs the demo and cleans up.
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
    let args = ["--step-ms", STEP_MS].map(str::to_owned).into();
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
    spec["fleets"][0]["max"] = MACHINES.into();
    // The price that was recorded in that region.
    spec["fleets"][0]["pricePerHour"] = "0.918".into();
    spec["fleets"][1]["max"] = ON_DEMAND_MACHINES.into();
    spec["classes"][1]["slaSeconds"] = SLA_SECONDS.into();
    // The times are short because the market is: ten seconds of it are an hour.
    spec["scaling"] = json!({ "idleSeconds": 4, "spotShortageSeconds": 10 });
}

/// Makes one image on each kind of machine, so that the pool knows how long start-ups and images take.
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
    let mut spec = e2e::text_to_image(prompt, STEPS, 1);
    spec["class"] = class.into();
    spec
}

/// Creates jobs of one image at a steady rate; returns their number.
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

/// Shows the cluster until the market has ended and every image is made.
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
