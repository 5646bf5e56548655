//! Pictures that are decoded from latents and changed. `png_file` reads and writes them.
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{
    latent::{CHANNELS, Latent, SCALE},
    mask::Mask,
};

/// A batch of pictures of one size, eight bits per red, green and blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pictures {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) pixels: Vec<Vec<u8>>,
    /// How opaque they are, if they have an alpha channel.
    pub(crate) alpha: Option<Arc<Mask>>,
}

/// Half of the range of a latent's colour, in eight-bit steps.
const CONTRAST: f32 = 115.0;
const SHADING: f32 = 40.0;

impl Pictures {
    pub(crate) fn filled(batch: usize, width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self { width, height, pixels: vec![colour.repeat(width * height); batch], alpha: None }
    }

    /// Decodes like a VAE: enlarges eight times, smoothly. NaN becomes black.
    pub(crate) fn decode(latent: &Latent) -> Self {
        let (width, height) = (latent.width * SCALE, latent.height * SCALE);
        let columns: Vec<Between> = (0..width).map(|x| between(x, latent.width)).collect();
        let mut pixels = Vec::with_capacity(latent.batch);
        for image in latent.data.chunks_exact(latent.image_size()) {
            let planes: Vec<&[f32]> = image.chunks_exact(latent.plane_size()).collect();
            let mut picture = Vec::with_capacity(width * height * 3);
            let mut row = vec![[0.0; CHANNELS]; latent.width];
            for y in 0..height {
                let (above, below, share) = between(y, latent.height);
                for (x, values) in row.iter_mut().enumerate() {
                    for (value, plane) in values.iter_mut().zip(&planes) {
                        let (a, b) = (plane[above * latent.width + x], plane[below * latent.width + x]);
                        *value = a + (b - a) * share;
                    }
                }
                for (left, right, share) in &columns {
                    let (a, b) = (row[*left], row[*right]);
                    let mixed = |channel: usize| a[channel] + (b[channel] - a[channel]) * share;
                    let shade = 127.5 + SHADING * mixed(3);
                    picture.extend([0, 1, 2].map(|channel| eight_bits(shade + CONTRAST * mixed(channel))));
                }
            }
            pixels.push(picture);
        }
        Self { width, height, pixels, alpha: None }
    }

    /// Encodes like a VAE: each value is the mean of a block.
    pub(crate) fn encode(&self) -> Latent {
        let mut latent = Latent::empty(self.pixels.len(), self.width / SCALE, self.height / SCALE);
        let plane = latent.plane_size();
        let width = latent.width;
        let image_size = latent.image_size();
        for (picture, image) in self.pixels.iter().zip(latent.data.chunks_exact_mut(image_size)) {
            for (channel, values) in image.chunks_exact_mut(plane).take(3).enumerate() {
                for (i, value) in values.iter_mut().enumerate() {
                    let corner = (i / width * self.width + i % width) * SCALE;
                    let block = (0..SCALE * SCALE).map(|j| corner + j / SCALE * self.width + j % SCALE);
                    let sum: f32 = block.map(|pixel| f32::from(picture[pixel * 3 + channel])).sum();
                    *value = (sum / 64.0 - 127.5) / CONTRAST;
                }
            }
        }
        latent
    }

    pub(crate) fn inverted(&self) -> Self {
        let invert = |picture: &Vec<u8>| picture.iter().map(|value| 255 - value).collect();
        self.with(self.pixels.iter().map(invert).collect())
    }

    /// Scales by nearest neighbours, whatever method the node asks for.
    pub(crate) fn scaled(&self, width: usize, height: usize) -> Self {
        let scale = |picture: &Vec<u8>| {
            let mut scaled = Vec::with_capacity(width * height * 3);
            for y in 0..height {
                for x in 0..width {
                    let from = (y * self.height / height * self.width + x * self.width / width) * 3;
                    scaled.extend_from_slice(&picture[from..from + 3]);
                }
            }
            scaled
        };
        let alpha = self.alpha.as_ref().map(|alpha| Arc::new(alpha.scaled(width, height)));
        Self { width, height, pixels: self.pixels.iter().map(scale).collect(), alpha }
    }

    /// A batch of one of the pictures.
    pub(crate) fn only(&self, index: usize) -> Self {
        self.with(self.pixels.get(index).cloned().into_iter().collect())
    }

    /// Other pixels of the same size.
    pub(crate) fn with(&self, pixels: Vec<Vec<u8>>) -> Self {
        Self { width: self.width, height: self.height, pixels, alpha: self.alpha.clone() }
    }

    /// Every colour moved a little, as by another VAE.
    pub(crate) fn tinted(&self, tint: [u8; 3]) -> Self {
        let moved = |(value, tint): (&u8, u8)| value.saturating_add(tint % 8).saturating_sub(tint / 8 % 8);
        let change = |picture: &Vec<u8>| picture.iter().zip(tint.into_iter().cycle()).map(moved).collect();
        self.with(self.pixels.iter().map(change).collect())
    }

    /// The mean colour of a batch's first picture.
    pub(crate) fn mean(&self) -> [u8; 3] {
        let pixels = self.pixels.first().map(Vec::as_slice).unwrap_or_default();
        let mut sums = [0_usize; 3];
        for pixel in pixels.as_chunks::<3>().0 {
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += usize::from(*value);
            }
        }
        sums.map(|sum| u8::try_from(sum / (pixels.len() / 3).max(1)).unwrap_or(u8::MAX))
    }

    /// A short name that other pixels don't have: a part of their SHA-256.
    pub(crate) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for picture in &self.pixels {
            hash.update(picture);
        }
        hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Two neighbours, and the weight of the second.
type Between = (usize, usize, f32);

/// The neighbours of a pixel among `length` latent values.
fn between(pixel: usize, length: usize) -> Between {
    let eighths = (2 * pixel + 1).saturating_sub(SCALE);
    let first = (eighths / (2 * SCALE)).min(length - 1);
    let share = crate::noise::ratio(eighths % (2 * SCALE), 2 * SCALE);
    (first, (first + 1).min(length - 1), share)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and takes NaN for 0")]
fn eight_bits(value: f32) -> u8 {
    value as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_black() {
        let mut latent = Latent::empty(1, 2, 2);
        latent.data.fill(f32::NAN);
        assert!(Pictures::decode(&latent).pixels[0].iter().all(|value| *value == 0));
    }
}
