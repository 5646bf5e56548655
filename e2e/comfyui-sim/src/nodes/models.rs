//! Models, what is done to them, and words.
use std::sync::Arc;

use serde_json::Value;

use super::{Data, Inputs, Made};
use crate::{exception::Exception, files::Files, sampler::Conditioning};

pub(super) fn run(class: &str, inputs: &Inputs<'_>, _files: &Files) -> Result<Option<Made>, Exception> {
    Ok(Some(match class {
        "CheckpointLoaderSimple" => {
            let model = inputs.text("ckpt_name").to_owned();
            let vae = Data::Vae(String::new());
            Made { data: vec![Data::Model(model.clone()), Data::Clip(model), vae], shown: None }
        }
        "UNETLoader" => Data::Model(inputs.text("unet_name").to_owned()).into(),
        "CLIPLoader" => Data::Clip(inputs.text("clip_name").to_owned()).into(),
        "DualCLIPLoader" | "TripleCLIPLoader" => {
            let names = ["clip_name1", "clip_name2", "clip_name3"].map(|name| inputs.text(name));
            Data::Clip(names.join("+")).into()
        }
        "VAELoader" => Data::Vae(inputs.text("vae_name").to_owned()).into(),
        "ControlNetLoader" => Data::ControlNet(inputs.text("control_net_name").to_owned()).into(),
        "SetUnionControlNetType" => {
            Data::ControlNet(format!("{} {}", control_net(inputs)?, inputs.text("type"))).into()
        }
        "UpscaleModelLoader" => Data::UpscaleModel.into(),
        "LoraLoader" => {
            let with = |on: String, strength: &str| lora(inputs, on, strength);
            let model = Data::Model(with(inputs.model()?, "strength_model"));
            Made { data: vec![model, Data::Clip(with(inputs.clip()?, "strength_clip"))], shown: None }
        }
        "LoraLoaderModelOnly" => Data::Model(lora(inputs, inputs.model()?, "strength_model")).into(),
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
        "CLIPTextEncodeSD3" => several(inputs, &["clip_l", "clip_g", "t5xxl"])?,
        "CLIPTextEncodeSDXL" => several(inputs, &["text_g", "text_l"])?,
        "CLIPTextEncodeHiDream" => several(inputs, &["clip_l", "clip_g", "t5xxl", "llama"])?,
        "TextEncodeQwenImageEdit" | "TextEncodeQwenImageEditPlus" => {
            let images = ["image", "image1", "image2", "image3"];
            let with = images.iter().filter_map(|name| Some(inputs.pictures(name).ok()?.digest()));
            let text = inputs.text("prompt").to_owned();
            Data::Conditioning(Arc::new(Conditioning { model: inputs.clip()?, text, with: with.collect() }))
                .into()
        }
        "FluxGuidance" => {
            let conditioning = inputs.conditioning("conditioning")?;
            changed(&conditioning, |new| new.text = guided(&new.text, inputs)).into()
        }
        "ConditioningZeroOut" => words(inputs.conditioning("conditioning")?.model.clone(), String::new()),
        "ConditioningCombine" => {
            let (a, b) = (inputs.conditioning("conditioning_1")?, inputs.conditioning("conditioning_2")?);
            changed(&a, |new| {
                new.text = format!("{} {}", a.text, b.text);
                new.with.extend(b.with.clone());
            })
            .into()
        }
        "ControlNetApplyAdvanced" | "ControlNetApplySD3" => {
            let share = |name: &str| inputs.float(name);
            let span = format!(" {}-{}", share("start_percent"), share("end_percent"));
            let data = vec![controlled(inputs, "positive", &span)?, controlled(inputs, "negative", &span)?];
            Made { data, shown: None }
        }
        "ControlNetApply" => controlled(inputs, "conditioning", "")?.into(),
        "ReferenceLatent" => {
            let conditioning = inputs.conditioning("conditioning")?;
            let latent = inputs.latent("latent").ok();
            let shown = latent.map(|latent| crate::picture::Pictures::decode(&latent).digest());
            changed(&conditioning, |new| new.with.extend(shown)).into()
        }
        "PrimitiveString"
        | "PrimitiveStringMultiline"
        | "PrimitiveInt"
        | "PrimitiveFloat"
        | "PrimitiveBoolean" => Data::Value(inputs.value("value").cloned().unwrap_or(Value::Null)).into(),
        "SeedNode" => Data::Value(inputs.value("seed").cloned().unwrap_or(Value::Null)).into(),
        _ => return Ok(None),
    }))
}

/// The same words, with something changed.
pub(super) fn changed(conditioning: &Conditioning, change: impl FnOnce(&mut Conditioning)) -> Data {
    let mut new = conditioning.clone();
    change(&mut new);
    Data::Conditioning(Arc::new(new))
}

fn words(model: String, text: String) -> Made {
    Data::Conditioning(Arc::new(Conditioning { model, text, with: Vec::new() })).into()
}

fn several(inputs: &Inputs<'_>, texts: &[&str]) -> Result<Made, Exception> {
    let texts: Vec<&str> = texts.iter().map(|name| inputs.text(name)).collect();
    Ok(words(inputs.clip()?, texts.join(" ")))
}

fn guided(text: &str, inputs: &Inputs<'_>) -> String {
    format!("{text} ({})", inputs.float("guidance"))
}

/// A strength of 0 changes nothing.
fn lora(inputs: &Inputs<'_>, on: String, strength: &str) -> String {
    let strength = inputs.float(strength);
    if strength == 0.0 { on } else { format!("{on} {} {strength}", inputs.text("lora_name")) }
}

fn control_net<'i>(inputs: &'i Inputs<'_>) -> Result<&'i str, Exception> {
    match inputs.linked.get("control_net") {
        Some(Data::ControlNet(file)) => Ok(file),
        _ => Err(Exception::not_subscriptable()),
    }
}

/// A strength of 0 changes nothing.
fn controlled(inputs: &Inputs<'_>, name: &str, span: &str) -> Result<Data, Exception> {
    let (net, image) = (control_net(inputs)?, inputs.pictures("image")?.digest());
    let strength = inputs.float("strength");
    let control = (strength != 0.0).then(|| format!("{net} {strength}{span} {image}"));
    Ok(changed(&*inputs.conditioning(name)?, |new| new.with.extend(control)))
}
