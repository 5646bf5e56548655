//! Random-looking numbers that are the same for the same key.
use std::f32::consts::TAU;

use sha2::{Digest, Sha256};

/// A stream of numbers (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Stream(u64);

impl Stream {
    /// A stream for a number.
    pub(crate) fn new(key: u64) -> Self {
        Self(key)
    }

    /// A stream for texts.
    pub(crate) fn of(texts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        }
        let hash = hash.finalize();
        Self(hash.iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte)))
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next number in 0 … 1.
    pub(crate) fn unit(&mut self) -> f32 {
        f32::from(u16::try_from(self.bits() >> 48).unwrap_or(0)) / 65536.0
    }

    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }
}

/// Adds `strength` × noise of about unit variance to a plane of `width` × `height`. The noise is mostly broad clouds
/// with some grain, because such pictures look better than white noise.
pub(crate) fn add(plane: &mut [f32], width: usize, height: usize, stream: &mut Stream, strength: f32) {
    const GRAIN: f32 = 0.1;
    let waves: Vec<[Vec<f32>; 2]> = (0..3).map(|_| [wave(width, stream), wave(height, stream)]).collect();
    for (y, row) in plane.chunks_exact_mut(width).enumerate().take(height) {
        let down = [waves[0][1][y], waves[1][1][y], waves[2][1][y]];
        for (x, value) in row.iter_mut().enumerate() {
            let clouds = waves[0][0][x] * down[0] + waves[1][0][x] * down[1] + waves[2][0][x] * down[2];
            let grain = (stream.unit() - 0.5) * 3.5;
            *value += strength * (clouds * 1.15 + GRAIN * grain);
        }
    }
}

/// A sine of a few periods.
fn wave(length: usize, stream: &mut Stream) -> Vec<f32> {
    let (periods, phase) = (stream.between(0.4, 2.6), stream.between(0.0, TAU));
    (0..length).map(|i| (phase + periods * TAU * ratio(i, length)).sin()).collect()
}

/// `i / length`.
#[allow(clippy::cast_precision_loss, reason = "sizes are far below 2^24")]
pub(crate) fn ratio(i: usize, length: usize) -> f32 {
    i as f32 / length as f32
}
