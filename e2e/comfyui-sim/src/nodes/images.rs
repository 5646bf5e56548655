//! Latents and pictures: made, read and changed.
use std::sync::Arc;

use serde_json::json;

use super::{Data, Inputs, Made};
use crate::{
    exception::Exception,
    files::Files,
    latent::{Latent, SCALE},
    mask::Mask,
    picture::Pictures,
    python,
};

pub(super) fn run(class: &str, inputs: &Inputs<'_>, files: &Files) -> Result<Option<Made>, Exception> {
    Ok(Some(match class {
        "EmptyLatentImage" | "EmptySD3LatentImage" | "EmptyFlux2LatentImage" | "EmptyHunyuanImageLatent" => {
            empty(inputs, inputs.int("batch_size"))
        }
        // Layers, or frames, are pictures of one batch here.
        "EmptyQwenImageLayeredLatentImage" => empty(inputs, inputs.int::<usize>("layers") + 1),
        "EmptyHunyuanLatentVideo"
        | "EmptyLTXVLatentVideo"
        | "EmptyMochiLatentVideo"
        | "EmptyCosmosLatentVideo"
        | "EmptyHunyuanVideo15Latent"
        | "Wan22ImageToVideoLatent" => empty(inputs, inputs.int("length")),
        "RepeatLatentBatch" => inputs.latent("samples")?.repeated(inputs.int("amount")).into(),
        "LatentUpscale" | "LatentUpscaleBy" => {
            let latent = inputs.latent("samples")?;
            let size = (latent.width * SCALE, latent.height * SCALE);
            let (width, height) = scaled_size(class, inputs, size)?;
            latent.scaled((width / SCALE).max(1), (height / SCALE).max(1)).into()
        }
        "VAEDecode" | "VAEDecodeTiled" => {
            let pictures = Pictures::decode(&*inputs.latent("samples")?);
            inputs.tint().map_or(pictures.clone(), |tint| pictures.tinted(tint)).into()
        }
        "VAEEncode" | "VAEEncodeTiled" => inputs.pictures("pixels")?.encode().into(),
        "EmptyImage" => {
            let [_, red, green, blue] = inputs.int::<u32>("color").to_be_bytes();
            let (width, height) = (inputs.int("width"), inputs.int("height"));
            Pictures::filled(inputs.int("batch_size"), width, height, [red, green, blue]).into()
        }
        "ImageInvert" => inputs.pictures("image")?.inverted().into(),
        "ImageScale" | "ImageScaleBy" | "ImageScaleToTotalPixels" | "ImageScaleToMaxDimension" => {
            let image = inputs.pictures("image")?;
            let (width, height) = scaled_size(class, inputs, (image.width, image.height))?;
            image.scaled(width, height).into()
        }
        "ImageBatch" => {
            let (first, second) = (inputs.pictures("image1")?, inputs.pictures("image2")?);
            let second = second.scaled(first.width, first.height);
            first.with(first.pixels.iter().chain(&second.pixels).cloned().collect()).into()
        }
        "ImageFromBatch" => {
            let (image, length) = (inputs.pictures("image")?, inputs.int("length"));
            let first: usize = inputs.int::<usize>("batch_index").min(image.pixels.len().saturating_sub(1));
            image.with(image.pixels.iter().skip(first).take(length).cloned().collect()).into()
        }
        "GetImageSize" => {
            let image = inputs.pictures("image")?;
            let sizes = [image.width, image.height, image.pixels.len()];
            Made { data: sizes.map(|size| Data::Value(json!(size))).to_vec(), shown: None }
        }
        "LoadImage" | "LoadImageOutput" => {
            let mut read = load(files, inputs.text("image"))?;
            // Without alpha the mask is a small one that means nothing.
            let mask = read.alpha.take().map_or(Mask::filled(64, 64, 0), |alpha| alpha.inverted());
            Made { data: vec![Data::Pictures(Arc::new(read)), Data::Mask(Arc::new(mask))], shown: None }
        }
        "LoadLatent" => {
            let read = Latent::from_file(&read(files, inputs.text("latent"))?);
            let kind = "safetensors._safetensors_rust.SafetensorError";
            read.map_err(|message| Exception::new(kind, message))?.into()
        }
        _ => return Ok(None),
    }))
}

fn empty(inputs: &Inputs<'_>, batch: usize) -> Made {
    let size = |name| inputs.int::<usize>(name) / SCALE;
    Latent::empty(batch, size("width"), size("height")).into()
}

/// A picture of the input folder.
pub(super) fn load(files: &Files, name: &str) -> Result<Pictures, Exception> {
    let unknown = |_| Exception::new("PIL.UnidentifiedImageError", "cannot identify image file");
    Pictures::from_png(&read(files, name)?).map_err(unknown)
}

/// Bytes of main memory that a node's pictures take, before they are made: 32 bits a colour.
pub(crate) fn bytes_to_make(class: &str, inputs: &Inputs<'_>) -> u64 {
    let (batch, (width, height)) = match class {
        "EmptyImage" => (inputs.int::<u64>("batch_size"), (inputs.int("width"), inputs.int("height"))),
        "ImageScale" | "ImageScaleBy" | "ImageScaleToTotalPixels" => {
            let Ok(image) = inputs.pictures("image") else { return 0 };
            let size = scaled_size(class, inputs, (image.width, image.height)).unwrap_or_default();
            (image.pixels.len() as u64, (size.0 as u64, size.1 as u64))
        }
        _ => return 0,
    };
    batch.saturating_mul(width).saturating_mul(height).saturating_mul(3 * 4)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 8 × 16384")]
#[allow(clippy::cast_precision_loss, reason = "sizes are small")]
fn scaled_size(
    class: &str,
    inputs: &Inputs<'_>,
    (width, height): (usize, usize),
) -> Result<(usize, usize), Exception> {
    if class.ends_with("By") {
        let by = inputs.float("scale_by");
        let scaled = |size: usize| ((size as f64 * by).round() as usize).max(1);
        return if by.is_nan() { Err(Exception::nan_as_int()) } else { Ok((scaled(width), scaled(height))) };
    }
    let longer = python::float_of(width.max(height).max(1));
    let by = match class {
        "ImageScaleToTotalPixels" => {
            let wanted = inputs.float("megapixels") * 1024.0 * 1024.0;
            Some((wanted / python::float_of((width * height).max(1))).sqrt())
        }
        "ImageScaleToMaxDimension" => Some(inputs.float("largest_size") / longer),
        _ => None,
    };
    if let Some(by) = by {
        let scaled = |size: usize| ((python::float_of(size) * by).round() as usize).max(1);
        return if by.is_nan() { Err(Exception::nan_as_int()) } else { Ok((scaled(width), scaled(height))) };
    }
    // A zero asks for the image's own proportions.
    Ok(match (inputs.int("width"), inputs.int("height")) {
        (0, 0) => (width, height),
        (0, new) => ((width * new / height).max(1), new),
        (new, 0) => (new, (height * new / width).max(1)),
        size => size,
    })
}

pub(super) fn read(files: &Files, name: &str) -> Result<Vec<u8>, Exception> {
    let missing =
        || Exception::new("FileNotFoundError", format!("[Errno 2] No such file or directory: '{name}'"));
    std::fs::read(files.find_annotated(name).ok_or_else(missing)?).map_err(|error| Exception::from(&error))
}
