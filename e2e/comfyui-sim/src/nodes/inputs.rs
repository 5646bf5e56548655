//! A node's inputs: constants and what came along its links.
use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value};

use super::{Data, Guider, Made};
use crate::{
    exception::Exception,
    formats::Sound,
    latent::Latent,
    mask::Mask,
    noise::Stream,
    order,
    picture::Pictures,
    python,
    sampler::{Conditioning, Sampling},
};

/// A node's inputs: constants and what came along its links.
pub(crate) struct Inputs<'a> {
    pub(super) constants: &'a Map<String, Value>,
    pub(super) linked: HashMap<&'a str, Data>,
}

impl<'a> Inputs<'a> {
    /// Of node `id`, given what the nodes before it made.
    pub(crate) fn new(
        prompt: &'a Map<String, Value>,
        id: &str,
        made: impl Fn(&str) -> Option<Arc<Made>>,
    ) -> Option<Self> {
        let constants = prompt.get(id)?["inputs"].as_object()?;
        let linked = order::links(prompt, id)
            .filter_map(|(name, from, slot)| Some((name, made(&from)?.data.get(slot)?.clone())))
            .collect();
        Some(Self { constants, linked })
    }

    /// A number or text, whether it stands there or came along a link.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        match self.linked.get(name) {
            Some(Data::Value(value)) => Some(value),
            Some(_) => None,
            None => self.constants.get(name),
        }
    }

    pub(crate) fn int<T: TryFrom<i128> + Default>(&self, name: &str) -> T {
        let int = self.value(name).and_then(|value| python::int(value).ok());
        int.and_then(|int| T::try_from(int).ok()).unwrap_or_default()
    }

    pub(crate) fn float(&self, name: &str) -> f64 {
        self.value(name).and_then(|value| python::float(value).ok()).unwrap_or_default()
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.value(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn latent(&self, name: &str) -> Result<Arc<Latent>, Exception> {
        match self.linked.get(name) {
            Some(Data::Latent(latent)) => Ok(latent.clone()),
            _ => Err(Exception::not_subscriptable()),
        }
    }

    pub(crate) fn pictures(&self, name: &str) -> Result<Arc<Pictures>, Exception> {
        match self.linked.get(name) {
            Some(Data::Pictures(pictures)) => Ok(pictures.clone()),
            Some(Data::Video(video)) => Ok(video.frames.clone()),
            _ => Err(Exception::not_subscriptable()),
        }
    }

    pub(super) fn mask(&self, name: &str) -> Result<Arc<Mask>, Exception> {
        match self.linked.get(name) {
            Some(Data::Mask(mask)) => Ok(mask.clone()),
            _ => Err(Exception::not_subscriptable()),
        }
    }

    pub(super) fn sound(&self, name: &str) -> Result<Sound, Exception> {
        match self.linked.get(name) {
            Some(Data::Audio(sound)) => Ok(*sound),
            _ => Err(Exception::not_subscriptable()),
        }
    }

    /// Another VAE than the checkpoint's moves every colour a little.
    pub(super) fn tint(&self) -> Option<[u8; 3]> {
        match self.linked.get("vae") {
            Some(Data::Vae(file)) if !file.is_empty() => {
                let [red, green, blue, ..] = Stream::of(&[file]).bits().to_le_bytes();
                Some([red, green, blue])
            }
            _ => None,
        }
    }

    pub(super) fn conditioning(&self, name: &str) -> Result<Arc<Conditioning>, Exception> {
        match self.linked.get(name) {
            Some(Data::Conditioning(conditioning)) => Ok(conditioning.clone()),
            _ => Err(Exception::not_subscriptable()),
        }
    }

    pub(super) fn model(&self) -> Result<String, Exception> {
        match self.linked.get("model") {
            Some(Data::Model(model)) => Ok(model.clone()),
            _ => Err(Exception::not_subscriptable()),
        }
    }

    pub(super) fn clip(&self) -> Result<String, Exception> {
        match self.linked.get("clip") {
            Some(Data::Clip(clip)) => Ok(clip.clone()),
            _ => Err(Exception::not_subscriptable()),
        }
    }

    /// The sampling that a sampler node asks for.
    pub(crate) fn sampling(&self, class: &str) -> Result<Sampling, Exception> {
        match class {
            "SamplerCustomAdvanced" => return self.guided_sampling(),
            "SamplerCustom" => return self.custom_sampling(),
            _ => {}
        }
        let advanced = class == "KSamplerAdvanced";
        let denoise = if advanced { 1.0 } else { self.float("denoise") };
        if denoise.is_nan() {
            return Err(Exception::nan_as_int());
        }
        Ok(Sampling {
            model: self.model()?,
            positive: self.conditioning("positive")?,
            negative: self.conditioning("negative")?,
            seed: self.int(if advanced { "noise_seed" } else { "seed" }),
            steps: self.int("steps"),
            cfg: self.float("cfg"),
            sampler: self.text("sampler_name").to_owned(),
            scheduler: self.text("scheduler").to_owned(),
            denoise,
            start: self.int("start_at_step"),
            end: if advanced { self.int("end_at_step") } else { usize::MAX },
            add_noise: self.text("add_noise") != "disable",
            leftover_noise: self.text("return_with_leftover_noise") == "enable",
        })
    }

    fn guided_sampling(&self) -> Result<Sampling, Exception> {
        let (Some(Data::Noise(seed)), Some(Data::Guider(guider))) =
            (self.linked.get("noise"), self.linked.get("guider"))
        else {
            return Err(Exception::not_subscriptable());
        };
        self.along_sigmas(guider.clone(), *seed)
    }

    fn custom_sampling(&self) -> Result<Sampling, Exception> {
        let guider = Guider {
            model: self.model()?,
            positive: self.conditioning("positive")?,
            negative: self.conditioning("negative")?,
            cfg: self.float("cfg"),
        };
        let noise = self.value("add_noise").is_none_or(python::truthy).then(|| self.int("noise_seed"));
        self.along_sigmas(guider, noise)
    }

    fn along_sigmas(&self, guider: Guider, seed: Option<u64>) -> Result<Sampling, Exception> {
        let (Some(Data::Sampler(sampler)), Some(Data::Sigmas(schedule))) =
            (self.linked.get("sampler"), self.linked.get("sigmas"))
        else {
            return Err(Exception::not_subscriptable());
        };
        if schedule.denoise.is_nan() {
            return Err(Exception::nan_as_int());
        }
        let (start, end) = schedule.taken;
        Ok(Sampling {
            model: guider.model,
            positive: guider.positive,
            negative: guider.negative,
            seed: seed.unwrap_or_default(),
            steps: schedule.steps,
            cfg: guider.cfg,
            sampler: sampler.clone(),
            scheduler: schedule.scheduler.clone(),
            denoise: schedule.denoise,
            start,
            end,
            add_noise: seed.is_some(),
            leftover_noise: end < schedule.steps,
        })
    }
}
