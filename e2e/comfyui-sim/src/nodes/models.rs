//! Models, what is done to them, words, and what is sampled with.
use std::sync::Arc;

use serde_json::Value;

use super::{Data, Guider, Inputs, Made, Schedule};
use crate::{exception::Exception, files::Files, sampler::Conditioning};

pub(super) fn run(class: &str, inputs: &Inputs<'_>, _files: &Files) -> Result<Option<Made>, Exception> {
    Ok(Some(match class {
        "CheckpointLoaderSimple" => {
            let model = inputs.text("ckpt_name").to_owned();
            Made { data: vec![Data::Model(model.clone()), Data::Clip(model), Data::Vae], shown: None }
        }
        "UNETLoader" => Data::Model(inputs.text("unet_name").to_owned()).into(),
        "CLIPLoader" => Data::Clip(inputs.text("clip_name").to_owned()).into(),
        "DualCLIPLoader" | "TripleCLIPLoader" => {
            let names = ["clip_name1", "clip_name2", "clip_name3"].map(|name| inputs.text(name));
            Data::Clip(names.join("+")).into()
        }
        "VAELoader" => Data::Vae.into(),
        "UpscaleModelLoader" => Data::UpscaleModel.into(),
        "LoraLoader" => {
            let with = |on: String, strength: &str| lora(inputs, &on, strength);
            let model = Data::Model(with(inputs.model()?, "strength_model"));
            Made { data: vec![model, Data::Clip(with(inputs.clip()?, "strength_clip"))], shown: None }
        }
        "LoraLoaderModelOnly" => Data::Model(lora(inputs, &inputs.model()?, "strength_model")).into(),
        "ModelSamplingFlux" | "ModelSamplingSD3" | "ModelSamplingAuraFlow" => {
            let shift: Vec<_> = ["shift", "max_shift", "base_shift"].map(|name| inputs.float(name)).into();
            Data::Model(format!("{} {class} {shift:?}", inputs.model()?)).into()
        }
        "CLIPSetLastLayer" => {
            Data::Clip(format!("{} {}", inputs.clip()?, inputs.int::<i64>("stop_at_clip_layer"))).into()
        }
        "CLIPTextEncode" => words(inputs.clip()?, inputs.text("text").to_owned()),
        "CLIPTextEncodeFlux" => {
            let texts = [inputs.text("clip_l"), inputs.text("t5xxl")].join(" ");
            words(inputs.clip()?, guided(&texts, inputs))
        }
        "CLIPTextEncodeSD3" => {
            words(inputs.clip()?, ["clip_l", "clip_g", "t5xxl"].map(|name| inputs.text(name)).join(" "))
        }
        "CLIPTextEncodeSDXL" => {
            words(inputs.clip()?, ["text_g", "text_l"].map(|name| inputs.text(name)).join(" "))
        }
        "FluxGuidance" => {
            let conditioning = inputs.conditioning("conditioning")?;
            words(conditioning.model.clone(), guided(&conditioning.text, inputs))
        }
        "ConditioningZeroOut" => words(inputs.conditioning("conditioning")?.model.clone(), String::new()),
        "ConditioningCombine" => {
            let (a, b) = (inputs.conditioning("conditioning_1")?, inputs.conditioning("conditioning_2")?);
            words(a.model.clone(), format!("{} {}", a.text, b.text))
        }
        "PrimitiveString" | "PrimitiveStringMultiline" | "PrimitiveInt" | "PrimitiveFloat" => {
            Data::Value(inputs.value("value").cloned().unwrap_or(Value::Null)).into()
        }
        "RandomNoise" => Data::Noise(inputs.int("noise_seed")).into(),
        "KSamplerSelect" => Data::Sampler(inputs.text("sampler_name").to_owned()).into(),
        "BasicScheduler" => Data::Sigmas(Schedule {
            scheduler: inputs.text("scheduler").to_owned(),
            steps: inputs.int("steps"),
            denoise: inputs.float("denoise"),
        })
        .into(),
        "BasicGuider" => {
            let words = inputs.conditioning("conditioning")?;
            Data::Guider(Guider {
                model: inputs.model()?,
                positive: words.clone(),
                negative: words,
                cfg: 1.0,
            })
            .into()
        }
        "CFGGuider" => Data::Guider(Guider {
            model: inputs.model()?,
            positive: inputs.conditioning("positive")?,
            negative: inputs.conditioning("negative")?,
            cfg: inputs.float("cfg"),
        })
        .into(),
        _ => return Ok(None),
    }))
}

fn words(model: String, text: String) -> Made {
    Data::Conditioning(Arc::new(Conditioning { model, text })).into()
}

fn guided(text: &str, inputs: &Inputs<'_>) -> String {
    format!("{text} ({})", inputs.float("guidance"))
}

fn lora(inputs: &Inputs<'_>, on: &str, strength: &str) -> String {
    format!("{on} {} {}", inputs.text("lora_name"), inputs.float(strength))
}
