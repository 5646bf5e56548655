//! Masks. OpenAI's are pictures that are transparent where something is to be painted; ours are white there.

use bytes::Bytes;
use png::{BitDepth, ColorType, Decoder, DecodingError, Encoder, Limits, Transformations};

use crate::error::Error;

/// What a mask takes in memory, in bytes: 16 million pixels of four colours.
const MEMORY_AT_MOST: usize = 64 << 20;

/// The mask in black and white.
///
/// # Errors
/// [`Error::Invalid`] of a file that is no PNG, or that can't be transparent anywhere.
pub(super) async fn black_and_white(mask: Bytes) -> Result<Bytes, Error> {
    let converted = tokio::task::spawn_blocking(move || convert(&mask)).await;
    let converted = converted.map_err(|error| Error::Internal(error.to_string()))?;
    let converted =
        converted.map_err(|error| Error::invalid("/mask", format!("it must be a PNG: {error}")))?;
    let opaque =
        || Error::invalid("/mask", "it must be a PNG that is transparent where the picture is to change");
    converted.map(Bytes::from).ok_or_else(opaque)
}

/// `None` of a picture without transparency.
fn convert(mask: &[u8]) -> Result<Option<Vec<u8>>, DecodingError> {
    let mut decoder = Decoder::new_with_limits(std::io::Cursor::new(mask), Limits { bytes: MEMORY_AT_MOST });
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let size = reader.output_buffer_size().filter(|size| *size <= MEMORY_AT_MOST);
    let mut pixels = vec![0; size.ok_or(DecodingError::LimitsExceeded)?];
    let frame = reader.next_frame(&mut pixels)?;
    let colours = match frame.color_type {
        ColorType::Rgba => 4,
        ColorType::GrayscaleAlpha => 2,
        ColorType::Rgb | ColorType::Grayscale | ColorType::Indexed => return Ok(None),
    };
    let white: Vec<u8> = pixels[..frame.buffer_size()]
        .chunks_exact(colours)
        .map(|pixel| u8::MAX - pixel.last().copied().unwrap_or(u8::MAX))
        .collect();
    let mut out = vec![];
    let mut encoder = Encoder::new(&mut out, frame.width, frame.height);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::Eight);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&white));
    // Writing into memory does not fail.
    written.map_err(|error| DecodingError::IoError(std::io::Error::other(error)))?;
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(color: ColorType, pixels: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        let mut encoder = Encoder::new(&mut out, 2, 1);
        encoder.set_color(color);
        encoder.set_depth(BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(pixels).unwrap();
        out
    }

    #[test]
    fn what_is_transparent_becomes_white() {
        let mask = convert(&png(ColorType::Rgba, &[9, 9, 9, 0, 9, 9, 9, 255])).unwrap().unwrap();
        let mut reader = Decoder::new(std::io::Cursor::new(mask)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((frame.color_type, pixels), (ColorType::Grayscale, vec![255, 0]));
    }

    #[test]
    fn a_picture_that_can_not_be_transparent_is_no_mask() {
        assert!(convert(&png(ColorType::Grayscale, &[0, 255])).unwrap().is_none());
        assert!(convert(b"GIF89a").is_err());
    }
}
