//! Latents and pictures: made, read and changed.
use super::{Data, Inputs, Made};
use crate::{
    exception::Exception,
    files::Files,
    latent::{Latent, SCALE},
    picture::Pictures,
};

pub(super) fn run(class: &str, inputs: &Inputs<'_>, files: &Files) -> Result<Option<Made>, Exception> {
    Ok(Some(match class {
        "EmptyLatentImage" | "EmptySD3LatentImage" => {
            let size = |name| inputs.int::<usize>(name) / SCALE;
            Latent::empty(inputs.int("batch_size"), size("width"), size("height")).into()
        }
        "LatentUpscale" | "LatentUpscaleBy" => {
            let latent = inputs.latent("samples")?;
            let size = (latent.width * SCALE, latent.height * SCALE);
            let (width, height) = scaled_size(class, inputs, size)?;
            latent.scaled((width / SCALE).max(1), (height / SCALE).max(1)).into()
        }
        "VAEDecode" | "VAEDecodeTiled" => Pictures::decode(&*inputs.latent("samples")?).into(),
        "VAEEncode" => inputs.pictures("pixels")?.encode().into(),
        "EmptyImage" => {
            let [_, red, green, blue] = inputs.int::<u32>("color").to_be_bytes();
            let (width, height) = (inputs.int("width"), inputs.int("height"));
            Pictures::filled(inputs.int("batch_size"), width, height, [red, green, blue]).into()
        }
        "ImageInvert" => inputs.pictures("image")?.inverted().into(),
        "ImageScale" | "ImageScaleBy" => {
            let image = inputs.pictures("image")?;
            let (width, height) = scaled_size(class, inputs, (image.width, image.height))?;
            image.scaled(width, height).into()
        }
        "LoadImage" => {
            let read = Pictures::from_png(&read(files, inputs.text("image"))?);
            let read =
                read.map_err(|_| Exception::new("PIL.UnidentifiedImageError", "cannot identify image file"))?;
            let Made { mut data, .. } = read.into();
            data.push(Data::Mask);
            Made { data, shown: None }
        }
        "LoadLatent" => {
            let read = Latent::from_file(&read(files, inputs.text("latent"))?);
            let kind = "safetensors._safetensors_rust.SafetensorError";
            read.map_err(|message| Exception::new(kind, message))?.into()
        }
        "CreateVideo" => Data::Video(inputs.pictures("images")?).into(),
        "EmptyAudio" => {
            Data::Audio { seconds: inputs.float("duration"), sample_rate: inputs.int("sample_rate") }.into()
        }
        _ => return Ok(None),
    }))
}

/// Bytes of main memory that a node's pictures take, before they are made: 32 bits a colour.
pub(crate) fn bytes_to_make(class: &str, inputs: &Inputs<'_>) -> u64 {
    let (batch, (width, height)) = match class {
        "EmptyImage" => (inputs.int::<u64>("batch_size"), (inputs.int("width"), inputs.int("height"))),
        "ImageScale" | "ImageScaleBy" => {
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
    // A zero asks for the image's own proportions.
    Ok(match (inputs.int("width"), inputs.int("height")) {
        (0, 0) => (width, height),
        (0, new) => ((width * new / height).max(1), new),
        (new, 0) => (new, (height * new / width).max(1)),
        size => size,
    })
}

fn read(files: &Files, name: &str) -> Result<Vec<u8>, Exception> {
    let missing =
        || Exception::new("FileNotFoundError", format!("[Errno 2] No such file or directory: '{name}'"));
    std::fs::read(files.find_annotated(name).ok_or_else(missing)?).map_err(|error| Exception::from(&error))
}
