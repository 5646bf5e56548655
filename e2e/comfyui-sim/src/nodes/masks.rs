//! Masks, and latents of which a mask says what is painted anew.
use std::sync::Arc;

use super::{Data, Inputs, Made, images, models::changed};
use crate::{exception::Exception, files::Files, latent::Latent, mask::Mask, picture::Pictures};

pub(super) fn run(class: &str, inputs: &Inputs<'_>, files: &Files) -> Result<Option<Made>, Exception> {
    Ok(Some(match class {
        "LoadImageMask" => {
            let pictures = images::load(files, inputs.text("image"))?;
            let mask = Mask::of_channel(&pictures, inputs.text("channel"));
            // What is transparent is meant.
            if inputs.text("channel") == "alpha" { mask.inverted() } else { mask }.into()
        }
        "ImageToMask" => Mask::of_channel(&*inputs.pictures("image")?, inputs.text("channel")).into(),
        "MaskToImage" => inputs.mask("mask")?.to_pictures().into(),
        "InvertMask" => inputs.mask("mask")?.inverted().into(),
        "GrowMask" => {
            let (mask, by) = (inputs.mask("mask")?, inputs.int::<i64>("expand"));
            let pixels = usize::try_from(by.unsigned_abs()).unwrap_or_default();
            if by < 0 { mask.inverted().grown(pixels).inverted() } else { mask.grown(pixels) }.into()
        }
        "SolidMask" => {
            Mask::filled(inputs.int("width"), inputs.int("height"), eight_bits(inputs.float("value"))).into()
        }
        "JoinImageWithAlpha" => {
            let (image, alpha) = (inputs.pictures("image")?, inputs.mask("alpha")?);
            let alpha = alpha.inverted().scaled(image.width, image.height);
            Pictures { alpha: Some(Arc::new(alpha)), ..Pictures::clone(&image) }.into()
        }
        "SetLatentNoiseMask" => masked(&*inputs.latent("samples")?, inputs.mask("mask")?).into(),
        "VAEEncodeForInpaint" => {
            let (pixels, mask) = (inputs.pictures("pixels")?, inputs.mask("mask")?);
            let mask = mask.scaled(pixels.width, pixels.height).grown(inputs.int("grow_mask_by"));
            masked(&greyed(&pixels, &mask).encode(), Arc::new(mask)).into()
        }
        "InpaintModelConditioning" => {
            let (pixels, mask) = (inputs.pictures("pixels")?, inputs.mask("mask")?);
            let latent = match inputs.value("noise_mask") {
                Some(value) if value == false => pixels.encode(),
                _ => masked(&pixels.encode(), mask.clone()),
            };
            let seen = greyed(&pixels, &mask.scaled(pixels.width, pixels.height)).digest();
            let with = |name: &str| {
                let seen = format!("inpaint {seen}");
                Ok::<_, Exception>(changed(&*inputs.conditioning(name)?, |new| new.with.push(seen)))
            };
            let data = vec![with("positive")?, with("negative")?, Data::Latent(Arc::new(latent))];
            Made { data, shown: None }
        }
        _ => return Ok(None),
    }))
}

impl From<Mask> for Made {
    fn from(mask: Mask) -> Self {
        Data::Mask(Arc::new(mask)).into()
    }
}

fn masked(latent: &Latent, mask: Arc<Mask>) -> Latent {
    Latent { mask: Some(mask), ..latent.clone() }
}

/// Grey where the mask means most.
fn greyed(pictures: &Pictures, mask: &Mask) -> Pictures {
    let grey = |picture: &Vec<u8>| {
        let pixels = picture.as_chunks::<3>().0.iter().zip(&mask.values);
        pixels.flat_map(|(pixel, mask)| if *mask > 127 { [127; 3] } else { *pixel }).collect()
    };
    pictures.with(pictures.pixels.iter().map(grey).collect())
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and takes NaN for 0")]
fn eight_bits(value: f64) -> u8 {
    (value * 255.0).round() as u8
}
