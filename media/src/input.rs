//! Files that users hand in. A picture is decoded and written anew, so that nothing of it reaches the engine but its
//! pixels.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageError,
    codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder},
};

use crate::{
    BadFile, Facts, MediaType, Metadata, Reader,
    convert::{clean_png, decode},
};

/// What a file may have that a user hands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: u64,
    /// Pixels, of each side.
    pub side: u32,
    /// Pixels in all. By default as many as a square of the longest sides has.
    pub pixels: u64,
    /// Bytes of memory to decode it.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 20 << 20, side: 4096, pixels: 4096 * 4096, memory: 256 << 20 }
    }
}

/// A clean PNG file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Png {
    /// The file.
    pub bytes: Vec<u8>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// Why a file is not taken. Its words follow the file's name and a colon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadInput {
    /// More bytes than are taken.
    #[error("it has {} MiB, and at most {} MiB are taken", .bytes.div_ceil(1 << 20), .most >> 20)]
    TooLarge {
        /// What it has.
        bytes: u64,
        /// What is taken.
        most: u64,
    },
    /// Another kind of file.
    #[error("it is {found}, and a picture must be a PNG, JPEG or WebP file")]
    NoPicture {
        /// With an article.
        found: &'static str,
    },
    /// A kind of file that no node loads.
    #[error("it is {found}, and only pictures, videos, sounds, latents, 3D models and texts are taken")]
    Unknown {
        /// With an article.
        found: &'static str,
    },
    /// More pixels than are taken.
    #[error(
        "it has {width} × {height} pixels, and at most {side} a side and {pixels} in all are taken: make it smaller"
    )]
    TooManyPixels {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// The longest side that is taken, in pixels.
        side: u32,
        /// Pixels in all that are taken.
        pixels: u64,
    },
    /// A mask that is opaque everywhere, by its kind.
    #[error("it has no transparency, and a mask is transparent where the picture is to change")]
    NoAlpha,
    /// A mask of another size than its picture.
    #[error("it has {width} × {height} pixels, and its picture {} × {}", .wanted.0, .wanted.1)]
    OtherSize {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// The picture's width and height, in pixels.
        wanted: (u32, u32),
    },
    /// Something is wrong with it.
    #[error(transparent)]
    Bad(#[from] BadFile),
}

/// Makes a clean PNG of a user's picture: 8 bits a sample, alpha kept (it carries masks), turned as EXIF says, the first
/// picture of an animation. Nothing else of the file is left.
///
/// # Errors
/// When it is no PNG, JPEG or WebP, is damaged, or exceeds a limit, which is checked before it is decoded.
pub fn clean_input(bytes: &[u8], limits: &Limits) -> Result<Png, BadInput> {
    png(pixels(bytes, limits)?)
}

/// Makes a clean PNG of a user's picture with the transparency of another file, the mask. ComfyUI's mask editor sends a mask
/// so: what is transparent is to be painted.
///
/// # Errors
/// As [`clean_input`], of each; [`BadInput::NoAlpha`] of a mask without transparency; [`BadInput::OtherSize`].
pub fn with_alpha_of(picture: &[u8], mask: &[u8], limits: &Limits) -> Result<Png, BadInput> {
    let mask = pixels(mask, limits)?;
    if !mask.color().has_alpha() {
        return Err(BadInput::NoAlpha);
    }
    let mask = mask.into_rgba8();
    let mut picture = pixels(picture, limits)?.into_rgba8();
    let ((width, height), wanted) = (mask.dimensions(), picture.dimensions());
    if (width, height) != wanted {
        return Err(BadInput::OtherSize { width, height, wanted });
    }
    for (pixel, mask) in picture.pixels_mut().zip(mask.pixels()) {
        pixel.0[3] = mask.0[3];
    }
    png(picture.into())
}

fn png(picture: DynamicImage) -> Result<Png, BadInput> {
    let (width, height) = (picture.width(), picture.height());
    let bytes = clean_png(picture).map_err(BadFile::Pixels)?;
    Ok(Png { bytes, width, height })
}

/// A picture's pixels, turned as EXIF says.
fn pixels(bytes: &[u8], limits: &Limits) -> Result<DynamicImage, BadInput> {
    is_within(bytes, limits)?;
    let kind = MediaType::sniff(bytes, "");
    if !matches!(kind, MediaType::Png | MediaType::Jpeg | MediaType::Webp) {
        return Err(BadInput::NoPicture { found: describe(kind, bytes) });
    }
    // Decoders make up what is missing at the end of a JPEG.
    facts(bytes, "", limits)?;
    let picture = match kind {
        MediaType::Png => read(|| PngDecoder::new(Cursor::new(bytes)), limits),
        MediaType::Jpeg => read(|| JpegDecoder::new(Cursor::new(bytes)), limits),
        _ => read(|| WebPDecoder::new(Cursor::new(bytes)), limits),
    };
    Ok(picture.map_err(|error| BadFile::Pixels(error.to_string()))?)
}

/// Checks a file of another kind that a user hands in: a video, a sound, a latent, a 3D model, a text. Only its container
/// is looked at, and its size.
///
/// # Errors
/// When it is of a kind that no node loads, is damaged, or exceeds a limit.
pub fn check_input(bytes: &[u8], name: &str, limits: &Limits) -> Result<Facts, BadInput> {
    is_within(bytes, limits)?;
    let kind = MediaType::sniff(bytes, name);
    if matches!(kind, MediaType::Other | MediaType::Svg) || is_page(bytes) {
        return Err(BadInput::Unknown { found: describe(kind, bytes) });
    }
    facts(bytes, name, limits)
}

fn is_within(bytes: &[u8], limits: &Limits) -> Result<(), BadInput> {
    match bytes.len() as u64 {
        0 => Err(BadFile::Empty.into()),
        bytes if bytes > limits.bytes => Err(BadInput::TooLarge { bytes, most: limits.bytes }),
        _ => Ok(()),
    }
}

fn facts(bytes: &[u8], name: &str, limits: &Limits) -> Result<Facts, BadInput> {
    let mut out = Vec::new();
    let mut reader = Reader::new(Metadata::Keep, name);
    for piece in bytes.chunks(1 << 16) {
        reader.push(piece, &mut out)?;
        out.clear();
    }
    let facts = reader.finish(&mut out)?;
    if let Some((width, height)) = facts.size {
        let Limits { side, pixels, .. } = *limits;
        if width > side || height > side || u64::from(width) * u64::from(height) > pixels {
            return Err(BadInput::TooManyPixels { width, height, side, pixels });
        }
    }
    Ok(facts)
}

fn read<D: ImageDecoder>(
    open: impl FnOnce() -> Result<D, ImageError>,
    limits: &Limits,
) -> Result<DynamicImage, ImageError> {
    let mut decoder = open()?;
    let mut most = image::Limits::no_limits();
    most.max_image_width = Some(limits.side);
    most.max_image_height = Some(limits.side);
    most.max_alloc = Some(limits.memory);
    most.reserve(decoder.total_bytes())?;
    decoder.set_limits(most)?;
    decode(decoder)
}

fn is_page(bytes: &[u8]) -> bool {
    let start = bytes.get(..256).unwrap_or(bytes).trim_ascii_start().to_ascii_lowercase();
    start.starts_with(b"<!doctype html") || start.starts_with(b"<html")
}

fn describe(kind: MediaType, bytes: &[u8]) -> &'static str {
    match kind {
        _ if is_page(bytes) => "an HTML page",
        MediaType::Svg => "an SVG drawing",
        MediaType::Gif => "a GIF",
        MediaType::Avif => "an AVIF picture",
        MediaType::Exr => "an EXR picture",
        MediaType::Safetensors => "a safetensors file",
        MediaType::Json | MediaType::Gltf => "JSON",
        kind if kind.is_video() => "a video",
        kind if kind.is_audio() => "a sound",
        kind if kind.as_str().starts_with("text/") => "a text",
        kind if kind.as_str().starts_with("model/") => "a 3D model",
        _ if bytes.starts_with(b"PK\x03\x04") => "a ZIP archive",
        _ if bytes.starts_with(b"%PDF") => "a PDF",
        _ if bytes.starts_with(b"BM") => "a BMP picture",
        _ if bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*") => "a TIFF picture",
        _ if matches!(bytes.get(4..12), Some(b"ftypheic" | b"ftypmif1" | b"ftypheix")) => "a HEIC picture",
        _ => "of an unknown kind",
    }
}
