//! What each node class does, given its inputs. Nodes that take time and show progress are in `slow_nodes`.
mod guidance;
mod images;
mod inputs;
mod masks;
mod media;
mod models;
mod others;
mod outputs;

use std::sync::Arc;

use serde_json::Value;

pub(crate) use self::{
    images::bytes_to_make,
    inputs::Inputs,
    outputs::{Saving, Spoilt, writes},
};
use crate::{
    catalog::Class, exception::Exception, formats::Sound, latent::Latent, mask::Mask, picture::Pictures,
    sampler::Conditioning,
};

/// What goes along a link.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    /// A model's file, and what was done to it.
    Model(String),
    Clip(String),
    /// The file; empty for the one that a checkpoint brings.
    Vae(String),
    ControlNet(String),
    UpscaleModel,
    Conditioning(Arc<Conditioning>),
    Latent(Arc<Latent>),
    Pictures(Arc<Pictures>),
    Mask(Arc<Mask>),
    /// A seed, or no noise.
    Noise(Option<u64>),
    /// A sampler's name.
    Sampler(String),
    Sigmas(Schedule),
    Guider(Guider),
    Video(Video),
    Audio(Sound),
    /// A number or a text.
    Value(Value),
    /// Something of this type that nothing here looks into.
    Other(String),
}

/// Frames, and how many there are a second.
#[derive(Debug, Clone)]
pub(crate) struct Video {
    pub(crate) frames: Arc<Pictures>,
    pub(crate) fps: f64,
}

/// How the noise falls, as BasicScheduler makes it.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    scheduler: String,
    steps: usize,
    denoise: f64,
    /// The steps of it that are taken.
    taken: (usize, usize),
}

/// What SamplerCustomAdvanced is guided by.
#[derive(Debug, Clone)]
pub(crate) struct Guider {
    model: String,
    positive: Arc<Conditioning>,
    negative: Arc<Conditioning>,
    cfg: f64,
}

/// What a node made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made {
    pub(crate) data: Vec<Data>,
    /// What an output node shows, as in `executed` frames.
    pub(crate) shown: Option<Value>,
}

impl From<Data> for Made {
    fn from(data: Data) -> Self {
        Self { data: vec![data], shown: None }
    }
}

impl From<Pictures> for Made {
    fn from(pictures: Pictures) -> Self {
        Data::Pictures(Arc::new(pictures)).into()
    }
}

impl From<Latent> for Made {
    fn from(latent: Latent) -> Self {
        Data::Latent(Arc::new(latent)).into()
    }
}

/// Runs a node that shows no progress. `saving` is for what it writes.
pub(crate) fn run(
    name: &str,
    class: &Class,
    inputs: &Inputs<'_>,
    saving: &Saving<'_>,
) -> Result<Made, Exception> {
    for family in [models::run, guidance::run, images::run, masks::run, media::run] {
        if let Some(made) = family(name, inputs, saving.files)? {
            return Ok(made);
        }
    }
    if let Some(made) = outputs::run(name, inputs, saving)? {
        return Ok(made);
    }
    others::run(name, class, inputs)
}
