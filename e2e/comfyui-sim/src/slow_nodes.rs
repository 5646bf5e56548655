//! The nodes that take time and report progress: samplers, and enlarging with a model.
use std::{sync::Arc, time::Duration};

use tokio::{task::yield_now, time::Instant};

use crate::{
    exception::Exception,
    fault_effects,
    nodes::{Data, Inputs, Made},
    options::Previews,
    picture::Pictures,
    run::{Progress, Stop},
    sampler,
    server::{Server, scaled},
};

/// The factor by which pictures are enlarged.
const ENLARGED: usize = 4;

/// Whether a class is a sampler.
pub(crate) fn is_sampler(class: &str) -> bool {
    ["KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced"].contains(&class)
}

/// Runs a sampler.
pub(crate) async fn sample(
    server: &Server,
    progress: &mut Progress<'_>,
    node: &str,
    class: &str,
    inputs: &Inputs<'_>,
) -> Result<Made, Stop> {
    let latent = inputs.latent("latent_image")?;
    let step_time = server.options.timing.step.mul_f64(units(latent.batch * latent.plane_size()));
    let sampling = inputs.sampling(class)?;
    if !server.state().memory.can_sample(&latent, &server.options.machine) {
        return Err(Exception::out_of_memory().into());
    }
    server.state().samplings.add(&progress.item.id, node, &sampling, &latent);
    let mut run = sampler::Run::new(&sampling, Arc::unwrap_or_clone(latent));
    let steps = run.steps();
    let mut clock = Clock::new(server, step_time);
    for step in 1..=steps {
        run.step();
        clock.tick().await;
        progress.check_interrupt(server)?;
        server.state().stats.steps += 1;
        server.record.step(&sampling, step);
        let preview = match server.options.previews {
            Previews::None => None,
            Previews::EveryStep => Some(Pictures::decode(run.latent())),
        };
        progress.steps += 1;
        progress.report.progress(node, step, steps, preview.as_ref());
        fault_effects::apply(server, progress).await?;
    }
    let mut latent = run.finish();
    if progress.black {
        latent.data.fill(f32::NAN);
    }
    let latent = Data::Latent(Arc::new(latent));
    // The second output is what SamplerCustomAdvanced calls denoised.
    Ok(Made { data: vec![latent.clone(), latent], shown: None })
}

/// Enlarges pictures four times, tile by tile.
pub(crate) async fn upscale(
    server: &Server,
    progress: &mut Progress<'_>,
    node: &str,
    inputs: &Inputs<'_>,
) -> Result<Made, Stop> {
    /// The side of a tile in pixels. ComfyUI's tiles overlap; these don't.
    const TILE: usize = 512;
    let pictures = inputs.pictures("image")?;
    let tiles = pictures.width.div_ceil(TILE) * pictures.height.div_ceil(TILE) * pictures.pixels.len();
    let mut clock = Clock::new(server, server.options.timing.upscale);
    for tile in 1..=tiles {
        clock.tick().await;
        progress.check_interrupt(server)?;
        progress.steps += 1;
        progress.report.progress(node, tile, tiles, None);
        fault_effects::apply(server, progress).await?;
    }
    Ok(pictures.scaled(pictures.width * ENLARGED, pictures.height * ENLARGED).into())
}

/// The duration of decoding.
pub(crate) fn decoding(server: &Server, inputs: &Inputs<'_>) -> Duration {
    let values = inputs.latent("samples").map_or(0, |latent| latent.batch * latent.plane_size());
    server.options.timing.decode.mul_f64(units(values))
}

/// The size of a number of latent values, in 512 × 512 pictures.
#[allow(clippy::cast_precision_loss, reason = "sizes are small")]
fn units(values: usize) -> f64 {
    values as f64 / (64.0 * 64.0)
}

/// A clock that reports steps at equal intervals.
struct Clock {
    next: Instant,
    step: Duration,
}

impl Clock {
    fn new(server: &Server, step: Duration) -> Self {
        Self { next: Instant::now(), step: scaled(step, server.options.timing.speed) }
    }

    async fn tick(&mut self) {
        self.next += self.step;
        if self.step.is_zero() {
            yield_now().await;
        } else {
            tokio::time::sleep_until(self.next).await;
        }
    }
}
