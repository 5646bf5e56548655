//! Looks at the pixels of a still picture.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, ImageReader};
use png::{ColorType, Decoder, Transformations};

use crate::{BadFile, MediaType};

/// Has not one pixel a colour? The engine makes that of numbers that overflowed, and calls it a success. A PNG is read
/// up to the first row that has some, so ordinary pictures are hardly decoded at all; a black one takes its time, and so
/// do JPEG and WebP. Of other kinds, and of animations' later pictures, nothing is known, and the answer is no.
///
/// # Errors
/// When its pixels can't be read.
pub fn is_black(bytes: &[u8], kind: MediaType) -> Result<bool, BadFile> {
    match kind {
        MediaType::Png => is_black_png(bytes).map_err(|error| BadFile::Pixels(error.to_string())),
        MediaType::Jpeg => is_black_image(bytes, ImageFormat::Jpeg),
        MediaType::Webp => is_black_image(bytes, ImageFormat::WebP),
        _ => Ok(false),
    }
}

fn is_black_png(bytes: &[u8]) -> Result<bool, png::DecodingError> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let (samples, colours) = match reader.output_color_type().0 {
        ColorType::Grayscale | ColorType::Indexed => (1, 1),
        ColorType::GrayscaleAlpha => (2, 1),
        ColorType::Rgb => (3, 3),
        ColorType::Rgba => (4, 3),
    };
    let is_coloured = |row: &[u8]| {
        let mut pixels = row.chunks_exact(samples);
        pixels.any(|pixel| pixel.iter().take(colours).any(|&sample| sample != 0))
    };
    while let Some(row) = reader.next_row()? {
        if is_coloured(row.data()) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_black_image(bytes: &[u8], format: ImageFormat) -> Result<bool, BadFile> {
    let decoded = ImageReader::with_format(Cursor::new(bytes), format).decode();
    Ok(match decoded.map_err(|error| BadFile::Pixels(error.to_string()))? {
        DynamicImage::ImageLuma8(picture) => picture.pixels().all(|pixel| pixel.0 == [0]),
        DynamicImage::ImageRgb8(picture) => picture.pixels().all(|pixel| pixel.0 == [0; 3]),
        picture => picture.to_rgba8().pixels().all(|pixel| pixel.0.iter().take(3).all(|sample| *sample == 0)),
    })
}
