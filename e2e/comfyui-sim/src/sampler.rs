//! Denoising, as far as it matters to who calls it: real state that goes from step to step, so that a run cut in two
//! behaves as with ComfyUI. Against an uncut run, samplers that keep nothing between steps give the same picture,
//! multistep ones differ a little (they lose their history at the cut), stochastic ones clearly (their noise starts
//! anew). Against the same cuts within one graph, every sampler gives the same bits.
use std::sync::Arc;

use crate::{
    latent::{CHANNELS, Latent},
    mask::Mask,
    noise::{self, Stream},
    scene,
};

/// The noise levels of Stable Diffusion 1.5.
const SIGMA_MAX: f32 = 14.6;
const SIGMA_MIN: f32 = 0.03;

/// A prompt text under a model's text encoder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Conditioning {
    pub(crate) model: String,
    pub(crate) text: String,
    /// What else steers: control nets, reference pictures.
    pub(crate) with: Vec<String>,
}

/// What to sample; the fields of KSamplerAdvanced and KSampler.
#[derive(Debug, Clone)]
pub(crate) struct Sampling {
    pub(crate) model: String,
    pub(crate) positive: Arc<Conditioning>,
    pub(crate) negative: Arc<Conditioning>,
    pub(crate) seed: u64,
    pub(crate) steps: usize,
    pub(crate) cfg: f64,
    pub(crate) sampler: String,
    pub(crate) scheduler: String,
    pub(crate) denoise: f64,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Whether noise is added first.
    pub(crate) add_noise: bool,
    /// Whether noise may be left at the end.
    pub(crate) leftover_noise: bool,
}

/// What a sampler keeps from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Stateless,
    TwoEvaluations,
    Multistep,
    Stochastic,
}

impl Family {
    fn of(sampler: &str) -> Self {
        const STOCHASTIC: [&str; 7] = ["ancestral", "sde", "lcm", "ddpm", "seeds_", "sa_solver", "er_sde"];
        if STOCHASTIC.iter().any(|part| sampler.contains(part)) {
            return Self::Stochastic;
        }
        match sampler {
            "euler" | "euler_cfg_pp" | "ddim" | "dpm_fast" | "dpm_adaptive" => Self::Stateless,
            "heun" | "heunpp2" | "dpm_2" => Self::TwoEvaluations,
            _ => Self::Multistep,
        }
    }
}

/// A sampling under way.
#[derive(Debug)]
pub(crate) struct Run {
    latent: Latent,
    /// What it began with, where a mask keeps that.
    source: Option<(Vec<f32>, Mask)>,
    /// What the model sees in the noise, for each image of the batch.
    target: Vec<f32>,
    family: Family,
    sigmas: Vec<f32>,
    done: usize,
    /// The last step's estimate, for multistep samplers.
    previous: Option<Vec<f32>>,
    /// A stochastic sampler's; starts anew with every run, as ComfyUI's does.
    noise: Stream,
}

impl Run {
    pub(crate) fn new(sampling: &Sampling, mut latent: Latent) -> Self {
        let sigmas = sigmas(sampling);
        let source =
            latent.mask.as_ref().map(|mask| (latent.data.clone(), mask.scaled(latent.width, latent.height)));
        let target = target(sampling, &latent);
        if let (true, Some(first)) = (sampling.add_noise, sigmas.first()) {
            add_noise(&mut latent, &mut Stream::new(sampling.seed), *first);
        }
        Self {
            latent,
            source,
            target,
            family: Family::of(&sampling.sampler),
            sigmas,
            done: 0,
            previous: None,
            noise: Stream::new(!sampling.seed),
        }
    }

    /// Steps of this run.
    pub(crate) fn steps(&self) -> usize {
        self.sigmas.len().saturating_sub(1)
    }

    /// Takes the next step.
    pub(crate) fn step(&mut self) {
        let (Some(&sigma), Some(&next)) = (self.sigmas.get(self.done), self.sigmas.get(self.done + 1)) else {
            return;
        };
        let mut estimate = self.estimate(&self.latent.data, sigma);
        match self.family {
            Family::Stateless => {}
            Family::TwoEvaluations if next > 0.0 => {
                let there = moved(&self.latent.data, &estimate, sigma, next);
                let second = self.estimate(&there, next);
                for (first, second) in estimate.iter_mut().zip(second) {
                    *first = 0.5 * (*first + second);
                }
            }
            Family::TwoEvaluations => {}
            Family::Multistep => {
                let now = estimate.clone();
                if let Some(previous) = &self.previous {
                    for (estimate, previous) in estimate.iter_mut().zip(previous) {
                        *estimate += 0.25 * (*estimate - previous);
                    }
                }
                self.previous = Some(now);
            }
            Family::Stochastic => {}
        }
        self.latent.data = moved(&self.latent.data, &estimate, sigma, next);
        if self.family == Family::Stochastic && next > 0.0 {
            add_noise(&mut self.latent, &mut self.noise, 0.5 * next);
        }
        self.keep_unmasked();
        self.done += 1;
    }

    /// Puts back what the mask does not mean.
    fn keep_unmasked(&mut self) {
        let Some((source, mask)) = &self.source else { return };
        let values = self.latent.data.iter_mut().zip(source);
        for ((value, source), mask) in values.zip(mask.values.iter().cycle()) {
            let share = f32::from(*mask) / 255.0;
            *value = source + (*value - source) * share;
        }
    }

    /// What the model takes for the picture behind noise of level `sigma`. Noise pushes it to one side or the other of
    /// what the prompt asks for, and it stays there: so the seed shows in the picture.
    fn estimate(&self, noisy: &[f32], sigma: f32) -> Vec<f32> {
        /// How far it is pushed in each channel, and how steeply. It stays if their product exceeds 1.
        const PUSH: [f32; CHANNELS] = [0.36, 0.36, 0.36, 0.7];
        const STEEPNESS: f32 = 4.0;
        let scale = STEEPNESS / (1.0 + sigma * sigma).sqrt();
        let plane = self.latent.plane_size();
        let mut estimate = Vec::with_capacity(noisy.len());
        let images = noisy.chunks_exact(self.latent.image_size());
        for (image, target) in images.zip(self.target.chunks_exact(self.latent.image_size())) {
            for (channel, push) in PUSH.into_iter().enumerate() {
                let range = channel * plane..(channel + 1) * plane;
                estimate.extend(image[range.clone()].iter().zip(&target[range]).map(|(noisy, target)| {
                    let off = scale * (noisy - target);
                    target + push * off / (1.0 + off.abs())
                }));
            }
        }
        estimate
    }

    /// The image so far.
    pub(crate) fn latent(&self) -> &Latent {
        &self.latent
    }

    pub(crate) fn finish(mut self) -> Latent {
        self.keep_unmasked();
        self.latent
    }
}

/// What the model has in mind for each image: a scene of the words, mixed with what was given if only a part of the
/// schedule is sampled.
fn target(sampling: &Sampling, latent: &Latent) -> Vec<f32> {
    let cfg = sampling.cfg.to_string();
    let mut words: Vec<&str> = vec![
        &sampling.model,
        &sampling.positive.model,
        &sampling.positive.text,
        &sampling.negative.text,
        &cfg,
    ];
    words.extend(sampling.positive.with.iter().chain(&sampling.negative.with).map(String::as_str));
    let scene = scene::draw(Stream::of(&words), latent.width, latent.height);
    let mut target = scene.repeat(latent.batch);
    if sampling.add_noise && sampling.denoise < 1.0 && !latent.is_blank() {
        #[allow(clippy::cast_possible_truncation, reason = "between 0 and 1")]
        let share = sampling.denoise as f32;
        for (target, source) in target.iter_mut().zip(&latent.data) {
            *target = source + (*target - source) * share;
        }
    }
    target
}

/// Along the line from the noisy image to the estimate, as far as the noise level falls.
fn moved(noisy: &[f32], estimate: &[f32], sigma: f32, next: f32) -> Vec<f32> {
    let left = next / sigma;
    noisy.iter().zip(estimate).map(|(noisy, estimate)| estimate + left * (noisy - estimate)).collect()
}

fn add_noise(latent: &mut Latent, stream: &mut Stream, strength: f32) {
    let (width, height) = (latent.width, latent.height);
    for plane in latent.data.chunks_exact_mut(width * height) {
        noise::add(plane, width, height, stream, strength);
    }
    debug_assert_eq!(latent.data.len(), latent.batch * CHANNELS * width * height);
}

/// The noise level before each step of the run, and after the last one.
fn sigmas(sampling: &Sampling) -> Vec<f32> {
    let power = match sampling.scheduler.as_str() {
        "karras" => 3.0,
        "exponential" | "kl_optimal" => 2.5,
        "beta" | "linear_quadratic" => 1.6,
        _ => 2.0,
    };
    let steps = sampling.steps;
    // With denoise below 1, only the last `steps` of a longer schedule.
    #[allow(clippy::cast_possible_truncation, reason = "steps are at most 10000")]
    let total = match sampling.denoise {
        denoise if denoise >= 1.0 => steps,
        denoise if denoise > 0.0 => (steps as f64 / denoise) as usize,
        _ => return Vec::new(),
    };
    let level = |step: usize| {
        let left = 1.0 - noise::ratio(step, total);
        SIGMA_MIN + (SIGMA_MAX - SIGMA_MIN) * left.powf(power)
    };
    let mut sigmas: Vec<f32> = (total - steps..total).map(level).chain([0.0]).collect();
    let end = sampling.end.min(steps);
    sigmas.truncate(end + 1);
    if !sampling.leftover_noise
        && let Some(last) = sigmas.last_mut()
    {
        *last = 0.0;
    }
    sigmas.drain(..sampling.start.min(sigmas.len()));
    sigmas
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(sampler: &str, start: usize, end: usize) -> Sampling {
        let words = |text: &str| {
            Arc::new(Conditioning { model: "m".to_owned(), text: text.to_owned(), ..Conditioning::default() })
        };
        Sampling {
            model: "m".to_owned(),
            positive: words("a lighthouse at dusk"),
            negative: words("blurry"),
            seed: 42,
            steps: 20,
            cfg: 7.0,
            sampler: sampler.to_owned(),
            scheduler: "normal".to_owned(),
            denoise: 1.0,
            start,
            end,
            add_noise: start == 0,
            leftover_noise: end < 20,
        }
    }

    fn sample(sampling: &Sampling, latent: Latent) -> Latent {
        let mut run = Run::new(sampling, latent);
        for _ in 0..run.steps() {
            run.step();
        }
        run.finish()
    }

    /// The largest difference between a run cut at step 8 and an uncut one.
    fn cut_differs_by(sampler: &str) -> f32 {
        let empty = Latent::empty(1, 16, 16);
        let uncut = sample(&sampling(sampler, 0, 10000), empty.clone());
        let half = sample(&sampling(sampler, 0, 8), empty);
        let cut = sample(&sampling(sampler, 8, 10000), half);
        uncut.data.iter().zip(&cut.data).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn a_cut_changes_what_it_changes_with_comfyui() {
        for sampler in ["euler", "ddim", "heun"] {
            assert_eq!(cut_differs_by(sampler), 0.0, "{sampler}");
        }
        for sampler in ["dpmpp_2m", "lms", "uni_pc"] {
            let difference = cut_differs_by(sampler);
            assert!(difference > 0.0 && difference < 0.1, "{sampler}: {difference}");
        }
        for sampler in ["euler_ancestral", "dpmpp_sde", "dpmpp_2m_sde", "lcm"] {
            let difference = cut_differs_by(sampler);
            assert!(difference > 0.1, "{sampler}: {difference}");
        }
    }

    #[test]
    fn seed_words_and_steps_show_in_the_picture() {
        let of = |change: fn(&mut Sampling)| {
            let mut sampling = sampling("euler", 0, 10000);
            change(&mut sampling);
            sample(&sampling, Latent::empty(1, 16, 16))
        };
        let plain = of(|_| {});
        assert_eq!(plain, of(|_| {}));
        assert_ne!(plain, of(|sampling| sampling.seed = 43));
        assert_ne!(plain, of(|sampling| sampling.steps = 21));
        assert_ne!(plain, of(|sampling| sampling.cfg = 8.0));
        assert_ne!(plain, of(|sampling| sampling.model = "n".to_owned()));
    }

    #[test]
    fn a_weak_change_stays_near_its_source_and_a_mask_keeps_what_it_does_not_mean() {
        let mut source = Latent::empty(1, 8, 8);
        source.data.fill(0.5);
        let off = |denoise: f64| {
            let sampling = Sampling { denoise, ..sampling("euler", 0, 10000) };
            let made = sample(&sampling, source.clone());
            made.data.iter().zip(&source.data).map(|(a, b)| (a - b).abs()).sum::<f32>()
        };
        assert!(off(0.2) < off(0.9), "{} {}", off(0.2), off(0.9));
        let mut mask = Mask::filled(8, 8, 0);
        mask.values[..32].fill(255);
        source.mask = Some(Arc::new(mask));
        let made = sample(&sampling("euler", 0, 10000), source.clone());
        assert!(made.data[..32].iter().any(|value| (*value - 0.5).abs() > 0.1));
        assert!(made.data[32..64].iter().all(|value| *value == 0.5));
    }

    #[test]
    fn denoise_and_start_shorten_a_run() {
        let steps = |sampling: &Sampling| Run::new(sampling, Latent::empty(1, 2, 2)).steps();
        assert_eq!(steps(&sampling("euler", 0, 10000)), 20);
        assert_eq!(steps(&sampling("euler", 5, 8)), 3);
        assert_eq!(steps(&sampling("euler", 8, 5)), 0);
        assert_eq!(steps(&Sampling { denoise: 0.5, ..sampling("euler", 0, 10000) }), 20);
        assert_eq!(steps(&Sampling { denoise: 0.0, ..sampling("euler", 0, 10000) }), 0);
    }
}
