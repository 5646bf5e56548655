//! Work made up from a seed: a daily cycle, bursts, a few popular models and many jobs of few images, run times with a
//! heavy tail.
use policy::Class;

use crate::{
    arrivals::{Arrival, Workload},
    random::Random,
};

const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;

/// What the work is like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Generator {
    /// How long work arrives, seconds.
    pub(crate) span: f64,
    /// Engine seconds that arrive each second, on average: how many GPUs would be busy all the time.
    pub(crate) load: f64,
    /// How far the load swings around its average over a day, 0 to 1.
    pub(crate) swing: f64,
    /// Mean time between bursts, seconds; each lasts 5 to 20 minutes and multiplies the load by 1.5 to 3.
    pub(crate) between_bursts: f64,
    /// A burst at a given time: from, for how long (both seconds), how many fold.
    pub(crate) burst: Option<(f64, f64, f64)>,
    /// How many models; the k-th is asked for in proportion to 1/k.
    pub(crate) models: usize,
    /// How many tenants, all alike.
    pub(crate) tenants: usize,
    /// Classes and their shares.
    pub(crate) classes: Vec<(&'static str, f64)>,
    /// Images in a job, on average; geometric.
    pub(crate) images: f64,
}

impl Generator {
    /// The standard workload.
    pub(crate) fn standard(span: f64, load: f64) -> Self {
        Self {
            span,
            load,
            swing: 0.5,
            between_bursts: 3.0 * HOUR,
            burst: None,
            models: 4,
            tenants: 12,
            classes: vec![("standard", 0.7), ("relaxed", 0.3)],
            images: 3.0,
        }
    }

    /// The work.
    pub(crate) fn workload(&self, classes: &[Class], seed: u64) -> Workload {
        Workload::of(self.arrivals(seed), classes, seed)
    }

    fn arrivals(&self, seed: u64) -> Vec<Arrival> {
        let mut random = Random::part(seed, 2);
        let bursts = self.bursts(&mut random);
        let mean = mean_exec(self.models);
        let peak = (1.0 + self.swing) * bursts.iter().map(|burst| burst.fold).fold(1.0, f64::max);
        // Jobs a second at the highest load; of these some are left out (thinning).
        let most = self.load * peak / (mean * self.images);
        let mut arrivals = Vec::new();
        let mut time = 0.0;
        loop {
            time += random.exponential(1.0 / most);
            if time >= self.span {
                return arrivals;
            }
            if random.unit() * peak < self.intensity(time, &bursts) {
                self.job(time, &mut random, &mut arrivals);
            }
        }
    }

    fn bursts(&self, random: &mut Random) -> Vec<Burst> {
        let mut bursts: Vec<Burst> = Vec::new();
        if let Some((from, length, fold)) = self.burst {
            bursts.push(Burst { from, to: from + length, fold });
        }
        let mut time = random.exponential(self.between_bursts);
        while time < self.span && self.between_bursts.is_finite() {
            let to = time + random.between(5.0, 20.0) * 60.0;
            bursts.push(Burst { from: time, to, fold: random.between(1.5, 3.0) });
            time = to + random.exponential(self.between_bursts);
        }
        bursts
    }

    /// The load at a time, as a multiple of the average.
    fn intensity(&self, time: f64, bursts: &[Burst]) -> f64 {
        let daily = 1.0 - self.swing * (std::f64::consts::TAU * time / DAY).cos();
        let bursts = bursts.iter().filter(|burst| (burst.from..burst.to).contains(&time));
        daily * bursts.map(|burst| burst.fold).fold(1.0, f64::max)
    }

    fn job(&self, time_s: f64, random: &mut Random, arrivals: &mut Vec<Arrival>) {
        let model = zipf(self.models, random);
        let exec_s = exec(model, random);
        let job = Arrival {
            time_s,
            tenant: format!("tenant-{}", random.below(self.tenants) + 1),
            class: pick(&self.classes, random).to_owned(),
            model: format!("model-{}", model + 1),
            exec_s,
        };
        let more = 1.0 - 1.0 / self.images;
        arrivals.push(job.clone());
        while random.unit() < more {
            // Images of one job take about the same time.
            arrivals.push(Arrival { exec_s: exec_s * random.around_one(0.02), ..job.clone() });
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Burst {
    from: f64,
    to: f64,
    fold: f64,
}

/// Seconds of a plain picture: models get larger the less popular they are.
fn plain(model: usize) -> f64 {
    [6.0, 9.0, 7.0, 14.0, 10.0][model % 5]
}

/// Most pictures are plain, some have many times the steps or pixels.
const TAIL: (f64, f64) = (2.2, 12.0);

fn exec(model: usize, random: &mut Random) -> f64 {
    plain(model) * random.heavy_tail(TAIL.0, TAIL.1) * random.around_one(0.05)
}

/// Expected run time over all models.
fn mean_exec(models: usize) -> f64 {
    let (power, most) = TAIL;
    // The mean of a Pareto variable cut at `most`.
    let tail = 1.0 + (1.0 - most.powf(1.0 - power)) / (power - 1.0);
    let shares: f64 = (1..=models).map(|k| 1.0 / k as f64).sum();
    let plain: f64 = (0..models).map(|k| plain(k) / (k + 1) as f64).sum::<f64>() / shares;
    plain * tail * (0.5 * 0.05f64.powi(2)).exp()
}

/// 0 … n − 1, the k-th in proportion to 1/(k + 1).
fn zipf(n: usize, random: &mut Random) -> usize {
    let all: f64 = (1..=n).map(|k| 1.0 / k as f64).sum();
    let mut left = random.unit() * all;
    for k in 0..n {
        left -= 1.0 / (k + 1) as f64;
        if left < 0.0 {
            return k;
        }
    }
    n.saturating_sub(1)
}

fn pick(shares: &[(&'static str, f64)], random: &mut Random) -> &'static str {
    let all: f64 = shares.iter().map(|(_, share)| share).sum();
    let mut left = random.unit() * all;
    for (name, share) in shares {
        left -= share;
        if left < 0.0 {
            return name;
        }
    }
    shares.last().map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Pool;

    #[test]
    fn the_load_is_what_was_asked_for() {
        let classes = Pool::standard().policy.classes;
        let calm = Generator { between_bursts: f64::INFINITY, ..Generator::standard(4.0 * DAY, 5.0) };
        let workload = calm.workload(&classes, 3);
        let load = workload.seconds() / calm.span;
        assert!((load - 5.0).abs() < 0.3, "{load}");
        let first = workload.tasks.iter().filter(|task| workload.models[task.model] == "model-1").count();
        let share = first as f64 / workload.tasks.len() as f64;
        assert!((share - 0.48).abs() < 0.03, "{share}");
    }

    #[test]
    fn the_same_seed_gives_the_same_work() {
        let classes = Pool::standard().policy.classes;
        let some = Generator::standard(HOUR, 5.0);
        assert_eq!(some.workload(&classes, 1), some.workload(&classes, 1));
        assert_ne!(some.workload(&classes, 1), some.workload(&classes, 2));
    }
}
