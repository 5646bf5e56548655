//! PNG files: read, and written plain, with alpha, in 16 bits, or as an animation.
use std::{borrow::Cow, io::Write, sync::Arc};

use anyhow::{Context, Result, ensure};
use png::{BitDepth, ColorType, Compression, Decoder, Encoder, Filter, Transformations, chunk::ChunkType};

use crate::{formats::Texts, mask::Mask, picture::Pictures};

/// The chunk in which ComfyUI puts the texts of an animation.
const COMFY: ChunkType = ChunkType(*b"comf");

impl Pictures {
    /// One of the pictures as a PNG file that contains these texts.
    pub(crate) fn to_png(&self, index: usize, texts: &Texts<'_>) -> Result<Vec<u8>> {
        self.to_png_of(BitDepth::Eight, index, texts)
    }

    /// The same, in 16 bits a colour.
    pub(crate) fn to_deep_png(&self, index: usize, texts: &Texts<'_>) -> Result<Vec<u8>> {
        self.to_png_of(BitDepth::Sixteen, index, texts)
    }

    fn to_png_of(&self, depth: BitDepth, index: usize, texts: &Texts<'_>) -> Result<Vec<u8>> {
        let mut file = Vec::new();
        let mut encoder = self.encoder(&mut file)?;
        encoder.set_depth(depth);
        for (keyword, text) in texts {
            encoder.add_text_chunk((*keyword).to_owned(), text.clone())?;
        }
        let mut writer = encoder.write_header()?;
        let data = self.samples(index)?;
        match depth {
            BitDepth::Sixteen => {
                let deep: Vec<u8> = data.iter().flat_map(|value| [*value; 2]).collect();
                writer.write_image_data(&deep)?;
            }
            _ => writer.write_image_data(&data)?,
        }
        writer.finish()?;
        Ok(file)
    }

    /// All pictures as one animated PNG file of `fps` frames a second.
    pub(crate) fn to_animated_png(&self, fps: f64, texts: &Texts<'_>) -> Result<Vec<u8>> {
        let mut file = Vec::new();
        let mut encoder = self.encoder(&mut file)?;
        if self.pixels.len() > 1 {
            encoder.set_animated(u32::try_from(self.pixels.len())?, 0)?;
            encoder.set_frame_delay(milliseconds(fps), 1000)?;
        }
        let mut writer = encoder.write_header()?;
        for index in 0..self.pixels.len() {
            writer.write_image_data(&self.samples(index)?)?;
        }
        for (keyword, text) in texts {
            writer.write_chunk(COMFY, &[keyword.as_bytes(), b"\0", text.as_bytes()].concat())?;
        }
        writer.finish()?;
        Ok(file)
    }

    fn encoder<W: Write>(&self, file: W) -> Result<Encoder<'static, W>> {
        let mut encoder = Encoder::new(file, u32::try_from(self.width)?, u32::try_from(self.height)?);
        encoder.set_color(if self.alpha.is_some() { ColorType::Rgba } else { ColorType::Rgb });
        encoder.set_compression(Compression::Fast);
        encoder.set_filter(Filter::Up);
        Ok(encoder)
    }

    /// The colours of a picture, and its alpha if there is one.
    fn samples(&self, index: usize) -> Result<Cow<'_, [u8]>> {
        let pixels = self.pixels.get(index).context("no such picture")?;
        let Some(alpha) = &self.alpha else { return Ok(pixels.into()) };
        let pixels = pixels.as_chunks::<3>().0.iter();
        Ok(pixels
            .zip(&alpha.values)
            .flat_map(|([red, green, blue], alpha)| [*red, *green, *blue, *alpha])
            .collect())
    }

    /// Reads a file; of an animation the first picture.
    pub(crate) fn from_png(file: &[u8]) -> Result<Self> {
        let mut decoder = Decoder::new(std::io::Cursor::new(file));
        decoder.set_transformations(Transformations::normalize_to_color8());
        let mut reader = decoder.read_info()?;
        let mut data = vec![0; reader.output_buffer_size().context("too large")?];
        let info = reader.next_frame(&mut data)?;
        let data = &data[..info.buffer_size()];
        let samples = info.color_type.samples();
        ensure!(samples > 0, "no pixels");
        let colours = |pixel: &[u8]| if samples < 3 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] };
        let pixels = data.chunks_exact(samples).flat_map(colours).collect();
        let (width, height) = (usize::try_from(info.width)?, usize::try_from(info.height)?);
        let alpha = || data.chunks_exact(samples).filter_map(|pixel| pixel.last().copied()).collect();
        let alpha = (samples % 2 == 0).then(|| Arc::new(Mask { width, height, values: alpha() }));
        Ok(Self { width, height, pixels: vec![pixels], alpha })
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn milliseconds(fps: f64) -> u16 {
    (1000.0 / fps.max(0.01)) as u16
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
    fn alpha_and_depth_read_back() {
        let mut pictures = Pictures::filled(1, 4, 2, [9, 8, 7]);
        pictures.alpha = Some(Arc::new(Mask::filled(4, 2, 128)));
        assert_eq!(Pictures::from_png(&pictures.to_png(0, &[]).unwrap()).unwrap(), pictures);
        assert_eq!(Pictures::from_png(&pictures.to_deep_png(0, &[]).unwrap()).unwrap(), pictures);
    }

    #[test]
    fn an_animation_has_its_frames_and_texts() {
        let pictures = Pictures::filled(3, 4, 2, [9, 8, 7]);
        let file = pictures.to_animated_png(8.0, &[("prompt", "{}".to_owned())]).unwrap();
        let reader = Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
        assert_eq!(reader.info().animation_control.unwrap().num_frames, 3);
        assert!(
            file.windows(14).any(|part| part == b"comfprompt\0{}".as_slice())
                || file.windows(13).any(|part| part == b"comfprompt\0{}".as_slice())
        );
    }
}
