//! A picture's pixels and nothing else of it: what the engine gets of a stranger's picture is a PNG that this program
//! has written. Texts, places, thumbnails, profiles and whatever else hides in a file do not come through.

use std::io::Cursor;

use bytes::Bytes;
use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits,
    codecs::png::{CompressionType, FilterType, PngEncoder},
    metadata::Orientation,
};

use super::kind::Kind;

/// Pixels on a side.
const SIDE: u32 = 4096;
/// Pixels in all.
const PIXELS: u64 = 40_000_000;
/// Memory that a decoder may take, bytes.
const MEMORY: u64 = 256 << 20;

/// Why a file is no picture to work with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unclean {
    #[error("it is {0}; a picture has to be a PNG, a JPEG or a WebP")]
    NotPicture(&'static str),
    #[error("it has {width} × {height} pixels, and at most {SIDE} × {SIDE} are taken")]
    TooLarge { width: u32, height: u32 },
    #[error("it can't be decoded: {0}")]
    Broken(String),
}

/// Decodes a PNG, JPEG or WebP, its first frame where it has several, turns it the right way up, and encodes it as a
/// PNG of 8 bits a channel. Takes as long as its pixels take: to be called where nobody waits.
pub(super) fn picture(file: Bytes) -> Result<Bytes, Unclean> {
    let format = match Kind::of(&file) {
        Kind::Png => ImageFormat::Png,
        Kind::Jpeg => ImageFormat::Jpeg,
        Kind::WebP => ImageFormat::WebP,
        Kind::Other(what) => return Err(Unclean::NotPicture(what)),
        Kind::Loadable("txt") => return Err(Unclean::NotPicture("a text")),
        Kind::Loadable(_) => return Err(Unclean::NotPicture("a file of another kind")),
    };
    encode(decode(file, format)?).map_err(|error| Unclean::Broken(error.to_string()))
}

fn decode(file: Bytes, format: ImageFormat) -> Result<DynamicImage, Unclean> {
    let broken = |error: image::ImageError| Unclean::Broken(error.to_string());
    let mut limits = Limits::default();
    limits.max_alloc = Some(MEMORY);
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(limits.clone());
    // Reads the head alone.
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    if width > SIDE || height > SIDE || u64::from(width) * u64::from(height) > PIXELS {
        return Err(Unclean::TooLarge { width, height });
    }
    (limits.max_image_width, limits.max_image_height) = (Some(SIDE), Some(SIDE));
    decoder.set_limits(limits).map_err(broken)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn encode(picture: DynamicImage) -> image::ImageResult<Bytes> {
    let mut png = Vec::new();
    // It goes to the same machine: speed counts, and size does not.
    let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Sub);
    if picture.color().has_alpha() {
        picture.into_rgba8().write_with_encoder(encoder)?;
    } else {
        picture.into_rgb8().write_with_encoder(encoder)?;
    }
    Ok(png.into())
}
