//! Pictures that are decoded from latents, and read from or written to PNG.
use std::borrow::Cow;

use anyhow::{Context, Result, ensure};
use png::{BitDepth, ColorType, Compression, Decoder, Encoder, Filter, Transformations};

use crate::latent::{CHANNELS, Latent, SCALE};

/// A batch of pictures of one size, eight bits per red, green and blue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pictures {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) pixels: Vec<Vec<u8>>,
}

/// Half of the range of a latent's colour, in eight-bit steps.
const CONTRAST: f32 = 115.0;
const SHADING: f32 = 40.0;

impl Pictures {
    pub(crate) fn filled(batch: usize, width: usize, height: usize, colour: [u8; 3]) -> Self {
        Self { width, height, pixels: vec![colour.repeat(width * height); batch] }
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
        Self { width, height, pixels }
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
        Self { pixels: self.pixels.iter().map(invert).collect(), ..*self }
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
        Self { width, height, pixels: self.pixels.iter().map(scale).collect() }
    }

    /// A batch of one of the pictures.
    pub(crate) fn only(&self, index: usize) -> Self {
        Self { pixels: self.pixels.get(index).cloned().into_iter().collect(), ..*self }
    }

    /// One of the pictures as a PNG file that contains these texts.
    pub(crate) fn to_png(&self, index: usize, texts: &[(&str, String)]) -> Result<Vec<u8>> {
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, u32::try_from(self.width)?, u32::try_from(self.height)?);
        encoder.set_color(ColorType::Rgb);
        encoder.set_depth(BitDepth::Eight);
        encoder.set_compression(Compression::Fast);
        encoder.set_filter(Filter::Up);
        for (keyword, text) in texts {
            encoder.add_text_chunk((*keyword).to_owned(), text.clone())?;
        }
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.pixels.get(index).context("no such picture")?)?;
        writer.finish()?;
        Ok(file)
    }

    pub(crate) fn from_png(file: &[u8]) -> Result<Self> {
        let mut decoder = Decoder::new(std::io::Cursor::new(file));
        decoder.set_transformations(Transformations::normalize_to_color8());
        let mut reader = decoder.read_info()?;
        let mut data = vec![0; reader.output_buffer_size().context("too large")?];
        let info = reader.next_frame(&mut data)?;
        let data = &data[..info.buffer_size()];
        let samples = info.color_type.samples();
        ensure!(samples > 0, "no pixels");
        let pixels: Cow<'_, [u8]> = match samples {
            3 => data.into(),
            4 => data.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
            _ => data.chunks_exact(samples).flat_map(|pixel| [pixel[0]; 3]).collect(),
        };
        let (width, height) = (usize::try_from(info.width)?, usize::try_from(info.height)?);
        Ok(Self { width, height, pixels: vec![pixels.into_owned()] })
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
    fn a_png_reads_back_with_its_texts() {
        let pictures = Pictures::filled(2, 24, 16, [1, 2, 3]);
        let file = pictures.to_png(1, &[("prompt", "{}".to_owned())]).unwrap();
        let read = Pictures::from_png(&file).unwrap();
        assert_eq!((read.width, read.height, &read.pixels[0]), (24, 16, &pictures.pixels[1]));
        let reader = Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
        let text = &reader.info().uncompressed_latin1_text[0];
        assert_eq!((text.keyword.as_str(), text.text.as_str()), ("prompt", "{}"));
    }

    #[test]
    fn nan_is_black() {
        let mut latent = Latent::empty(1, 2, 2);
        latent.data.fill(f32::NAN);
        assert!(Pictures::decode(&latent).pixels[0].iter().all(|value| *value == 0));
    }
}
