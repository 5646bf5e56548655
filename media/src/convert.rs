//! Writes a still picture in another format.

use std::io::Cursor;

use image::{
    ColorType, DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, RgbImage, RgbaImage,
    codecs::{
        jpeg::{JpegDecoder, JpegEncoder},
        png::{PngDecoder, PngEncoder},
        webp::WebPDecoder,
    },
    metadata::Orientation,
};

use crate::{MediaType, walk::name};

/// What a still picture can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Without loss; the quality has no effect.
    Png,
    /// With loss, whatever the quality.
    Webp,
    /// With loss. Has no alpha: a picture that has some is put on white.
    Jpeg,
    /// With loss. Needs the feature `avif`. Has no ICC profile.
    Avif,
}

/// A picture in its new format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The file.
    pub bytes: Vec<u8>,
    /// Of the file.
    pub media_type: MediaType,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// Why a picture can't be converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unconverted {
    /// The file is damaged, or takes more memory than 512 MiB.
    #[error("its pixels can't be read: {0}")]
    Pixels(String),
    /// The format can't hold it.
    #[error("a picture of {width} × {height} can't be written as {format:?}: {why}")]
    Unwritable {
        /// What was wanted.
        format: Format,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// The encoder's words.
        why: String,
    },
    /// This program was built without the feature `avif`.
    #[error("this build writes no AVIF: build it with the feature avif, or choose webp")]
    NoAvif,
}

/// A picture's pixels, with 8 bits a sample, and the ICC profile that belongs to them.
struct Picture {
    pixels: Pixels,
    profile: Option<Vec<u8>>,
}

enum Pixels {
    Grey(image::GrayImage),
    Rgb(RgbImage),
    Rgba(RgbaImage),
}

impl Format {
    /// Whether [`convert`] makes such a file of a still picture of this kind; of any other it makes none.
    #[must_use]
    pub fn takes(self, kind: MediaType) -> bool {
        matches!(kind, MediaType::Png | MediaType::Jpeg | MediaType::Webp) && kind != self.media_type()
    }

    /// What the files are.
    #[must_use]
    pub fn media_type(self) -> MediaType {
        match self {
            Self::Png => MediaType::Png,
            Self::Webp => MediaType::Webp,
            Self::Jpeg => MediaType::Jpeg,
            Self::Avif => MediaType::Avif,
        }
    }
}

/// Writes a still picture in another format. `quality` is 1 to 100. `None`: the file stays as it is, since it has that
/// format already, is animated, or is no PNG, JPEG or WebP.
///
/// 16 bits a sample become 8. Alpha becomes white in JPEG. A turned picture (EXIF) is turned for good. The ICC profile
/// stays where the format has a place for it (all but AVIF) and it fits the colours. Texts go.
///
/// # Errors
/// When it can't be read, or not be written.
pub fn convert(bytes: &[u8], format: Format, quality: u8) -> Result<Option<Converted>, Unconverted> {
    let kind = MediaType::sniff(bytes, "");
    if !format.takes(kind) {
        return Ok(None);
    }
    if format == Format::Avif && !cfg!(feature = "avif") {
        return Err(Unconverted::NoAvif);
    }
    let pixels = |error: ImageError| Unconverted::Pixels(error.to_string());
    let input = Cursor::new(bytes);
    let picture = match kind {
        MediaType::Png => {
            let decoder = PngDecoder::new(input).map_err(pixels)?;
            if decoder.is_apng().map_err(pixels)? {
                return Ok(None);
            }
            read(decoder)
        }
        MediaType::Webp => {
            let decoder = WebPDecoder::new(input).map_err(pixels)?;
            if decoder.has_animation() {
                return Ok(None);
            }
            read(decoder)
        }
        MediaType::Jpeg => read(JpegDecoder::new(input).map_err(pixels)?),
        _ => return Ok(None),
    };
    picture.map_err(pixels)?.write(format, quality.clamp(1, 100)).map(Some)
}

/// Decodes a picture, turned as it is to be shown.
pub(crate) fn decode(mut decoder: impl ImageDecoder) -> Result<DynamicImage, ImageError> {
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn read(mut decoder: impl ImageDecoder) -> Result<Picture, ImageError> {
    decoder.set_limits(image::Limits::default())?;
    let profile = decoder.icc_profile().ok().flatten();
    let picture = decode(decoder)?;
    Ok(Picture { pixels: Pixels::of(picture), profile })
}

impl Pixels {
    fn of(picture: DynamicImage) -> Self {
        match picture.color() {
            ColorType::L8 | ColorType::L16 => Self::Grey(picture.into_luma8()),
            color if color.has_alpha() => Self::Rgba(picture.into_rgba8()),
            _ => Self::Rgb(picture.into_rgb8()),
        }
    }

    fn size(&self) -> (u32, u32) {
        match self {
            Self::Grey(picture) => picture.dimensions(),
            Self::Rgb(picture) => picture.dimensions(),
            Self::Rgba(picture) => picture.dimensions(),
        }
    }

    fn samples(&self) -> (&[u8], ExtendedColorType) {
        match self {
            Self::Grey(picture) => (picture.as_raw(), ExtendedColorType::L8),
            Self::Rgb(picture) => (picture.as_raw(), ExtendedColorType::Rgb8),
            Self::Rgba(picture) => (picture.as_raw(), ExtendedColorType::Rgba8),
        }
    }

    /// The colour space in which an ICC profile must be: its bytes 16 to 19.
    fn space(&self) -> &'static [u8; 4] {
        if matches!(self, Self::Grey(_)) { b"GRAY" } else { b"RGB " }
    }

    fn for_format(self, format: Format) -> Self {
        match (self, format) {
            (Self::Rgba(picture), Format::Jpeg) => Self::Rgb(on_white(&picture)),
            (Self::Grey(picture), Format::Webp | Format::Avif) => {
                Self::Rgb(DynamicImage::ImageLuma8(picture).into_rgb8())
            }
            (pixels, _) => pixels,
        }
    }
}

fn on_white(picture: &RgbaImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        let [red, green, blue, alpha] = picture.get_pixel(x, y).0;
        let alpha = u32::from(alpha);
        let mix = |colour: u8| {
            let mixed = (u32::from(colour) * alpha + 255 * (255 - alpha) + 127) / 255;
            u8::try_from(mixed).unwrap_or(u8::MAX)
        };
        image::Rgb([mix(red), mix(green), mix(blue)])
    })
}

impl Picture {
    fn write(self, format: Format, quality: u8) -> Result<Converted, Unconverted> {
        let pixels = self.pixels.for_format(format);
        let (width, height) = pixels.size();
        let profile = self.profile.filter(|profile| name(profile, 16) == *pixels.space());
        let mut bytes = Vec::new();
        let written = match format {
            Format::Png => encode(PngEncoder::new(&mut bytes), &pixels, profile),
            Format::Jpeg => encode(JpegEncoder::new_with_quality(&mut bytes, quality), &pixels, profile),
            Format::Webp => webp(&mut bytes, &pixels, quality, profile.as_deref()),
            Format::Avif => avif(&mut bytes, &pixels, quality),
        };
        match written {
            Ok(()) => Ok(Converted { bytes, media_type: format.media_type(), width, height }),
            Err(why) => Err(Unconverted::Unwritable { format, width, height, why }),
        }
    }
}

/// Writes 8-bit PNG without any text or profile.
pub(crate) fn clean_png(picture: DynamicImage) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    encode(PngEncoder::new(&mut bytes), &Pixels::of(picture), None)?;
    Ok(bytes)
}

fn encode(mut encoder: impl ImageEncoder, pixels: &Pixels, profile: Option<Vec<u8>>) -> Result<(), String> {
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile).map_err(|error| error.to_string())?;
    }
    let (width, height) = pixels.size();
    let (samples, color) = pixels.samples();
    encoder.write_image(samples, width, height, color).map_err(|error| error.to_string())
}

fn webp(out: &mut Vec<u8>, pixels: &Pixels, quality: u8, profile: Option<&[u8]>) -> Result<(), String> {
    let (width, height) = pixels.size();
    let (samples, color) = pixels.samples();
    let encoder = match color {
        ExtendedColorType::Rgba8 => webp::Encoder::from_rgba(samples, width, height),
        _ => webp::Encoder::from_rgb(samples, width, height),
    };
    let file = encoder.encode_simple(false, quality.into()).map_err(|error| format!("{error:?}"))?;
    *out = match profile {
        Some(profile) => with_profile(&file, profile, (width, height)).ok_or("it has no size")?,
        None => file.to_vec(),
    };
    Ok(())
}

/// Puts an ICC profile into a WebP file, as its first chunk after the one that announces it.
/// Source: <https://developers.google.com/speed/webp/docs/riff_container>.
fn with_profile(file: &[u8], profile: &[u8], size: (u32, u32)) -> Option<Vec<u8>> {
    const HAS_PROFILE: u8 = 0x20;
    let chunks = file.get(12..)?;
    let (flags, chunks) = match name(chunks, 0) == *b"VP8X" {
        true => (*chunks.get(8)?, chunks.get(18..)?),
        false => (0, chunks),
    };
    let mut out = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0".to_vec();
    out.extend_from_slice(&[flags | HAS_PROFILE, 0, 0, 0]);
    for side in [size.0, size.1] {
        out.extend_from_slice(side.checked_sub(1)?.to_le_bytes().get(..3)?);
    }
    out.extend_from_slice(b"ICCP");
    out.extend_from_slice(&u32::try_from(profile.len()).ok()?.to_le_bytes());
    out.extend_from_slice(profile);
    if profile.len() % 2 == 1 {
        out.push(0);
    }
    out.extend_from_slice(chunks);
    let length = u32::try_from(out.len() - 8).ok()?;
    out.get_mut(4..8)?.copy_from_slice(&length.to_le_bytes());
    Some(out)
}

#[cfg(feature = "avif")]
fn avif(out: &mut Vec<u8>, pixels: &Pixels, quality: u8) -> Result<(), String> {
    /// Of 10; the fastest that is not much worse.
    const SPEED: u8 = 8;
    encode(image::codecs::avif::AvifEncoder::new_with_speed_quality(out, SPEED, quality), pixels, None)
}

#[cfg(not(feature = "avif"))]
fn avif(_out: &mut Vec<u8>, _pixels: &Pixels, _quality: u8) -> Result<(), String> {
    Err(Unconverted::NoAvif.to_string())
}
