//! Chance from a seed: the same on every machine and with every version of every crate.

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, and good enough for arrivals and start-ups.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// A sequence of its own, so that what one part draws doesn't change what another does.
    pub(crate) fn part(seed: u64, part: u64) -> Self {
        let mut random = Self(seed ^ part.wrapping_mul(0xA24B_AED4_963E_E407));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// In [low, high).
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.unit() * (high - low)
    }

    /// In 0 … n − 1; 0 when n is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        // `as` cuts off: what is below n stays below n.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let index = (self.unit() * n as f64) as usize;
        index.min(n.saturating_sub(1))
    }

    /// Exponential with that mean: the time to the next of independent events.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Around 1, its logarithm normal with standard deviation `sigma`.
    pub(crate) fn around_one(&mut self, sigma: f64) -> f64 {
        // Box–Muller.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        (sigma * radius * (std::f64::consts::TAU * self.unit()).cos()).exp()
    }

    /// Pareto with least value 1: its tail falls off with `power`. At most `most`.
    pub(crate) fn heavy_tail(&mut self, power: f64, most: f64) -> f64 {
        (1.0 - self.unit()).powf(-1.0 / power).min(most)
    }
}
