//! What each node class does, given its inputs. Sampling is in `run`, since it takes time and shows progress.
use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::{
    files::{FileRef, Files, Folder},
    latent::{Latent, SCALE},
    order,
    picture::Pictures,
    python,
    sampler::{Conditioning, Sampling},
};

/// What goes along a link.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Model(String),
    Clip(String),
    Vae,
    Conditioning(Arc<Conditioning>),
    Latent(Arc<Latent>),
    Pictures(Arc<Pictures>),
    Mask,
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

/// What Python would have raised.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind}: {message}")]
pub(crate) struct Exception {
    pub(crate) kind: String,
    pub(crate) message: String,
}

impl Exception {
    pub(crate) fn new(kind: &str, message: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), message: message.into() }
    }
}

impl From<std::io::Error> for Exception {
    fn from(error: std::io::Error) -> Self {
        Self::new("OSError", error.to_string())
    }
}

/// A node's inputs: constants and what came along its links.
pub(crate) struct Inputs<'a> {
    pub(crate) constants: &'a Map<String, Value>,
    pub(crate) linked: HashMap<&'a str, Data>,
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

    pub(crate) fn int<T: TryFrom<i128> + Default>(&self, name: &str) -> T {
        let int = self.constants.get(name).and_then(|value| python::int(value).ok());
        int.and_then(|int| T::try_from(int).ok()).unwrap_or_default()
    }

    pub(crate) fn float(&self, name: &str) -> f64 {
        self.constants.get(name).and_then(Value::as_f64).unwrap_or_default()
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.constants.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn latent(&self, name: &str) -> Result<Arc<Latent>, Exception> {
        match self.linked.get(name) {
            Some(Data::Latent(latent)) => Ok(latent.clone()),
            _ => Err(not_subscriptable()),
        }
    }

    pub(crate) fn pictures(&self, name: &str) -> Result<Arc<Pictures>, Exception> {
        match self.linked.get(name) {
            Some(Data::Pictures(pictures)) => Ok(pictures.clone()),
            _ => Err(not_subscriptable()),
        }
    }

    fn conditioning(&self, name: &str) -> Result<Arc<Conditioning>, Exception> {
        match self.linked.get(name) {
            Some(Data::Conditioning(conditioning)) => Ok(conditioning.clone()),
            _ => Err(not_subscriptable()),
        }
    }

    fn model(&self) -> Result<String, Exception> {
        match self.linked.get("model") {
            Some(Data::Model(model)) => Ok(model.clone()),
            _ => Err(not_subscriptable()),
        }
    }

    /// The sampling that a KSampler or KSamplerAdvanced asks for.
    pub(crate) fn sampling(&self, class: &str) -> Result<Sampling, Exception> {
        let advanced = class == "KSamplerAdvanced";
        Ok(Sampling {
            model: self.model()?,
            positive: self.conditioning("positive")?,
            negative: self.conditioning("negative")?,
            seed: self.int(if advanced { "noise_seed" } else { "seed" }),
            steps: self.int("steps"),
            cfg: self.float("cfg"),
            sampler: self.text("sampler_name").to_owned(),
            scheduler: self.text("scheduler").to_owned(),
            denoise: if advanced { 1.0 } else { self.float("denoise") },
            start: self.int("start_at_step"),
            end: if advanced { self.int("end_at_step") } else { usize::MAX },
            add_noise: self.text("add_noise") != "disable",
            leftover_noise: self.text("return_with_leftover_noise") == "enable",
        })
    }
}

/// A constant where a link belongs.
fn not_subscriptable() -> Exception {
    Exception::new("TypeError", "'str' object is not subscriptable")
}

/// Runs a node that takes no time worth showing. `texts` go into the files it writes.
pub(crate) fn run(
    class: &str,
    inputs: &Inputs<'_>,
    files: &Files,
    texts: &[(&str, String)],
) -> Result<Made, Exception> {
    Ok(match class {
        "CheckpointLoaderSimple" => {
            let model = inputs.text("ckpt_name").to_owned();
            Made { data: vec![Data::Model(model.clone()), Data::Clip(model), Data::Vae], shown: None }
        }
        "CLIPTextEncode" => {
            let Some(Data::Clip(model)) = inputs.linked.get("clip") else { return Err(not_subscriptable()) };
            let text = inputs.text("text").to_owned();
            Data::Conditioning(Arc::new(Conditioning { model: model.clone(), text })).into()
        }
        "EmptyLatentImage" => {
            let size = |name| inputs.int::<usize>(name) / SCALE;
            Data::Latent(Arc::new(Latent::empty(inputs.int("batch_size"), size("width"), size("height"))))
                .into()
        }
        "VAEDecode" => pictures(Pictures::decode(&*inputs.latent("samples")?)),
        "VAEEncode" => Data::Latent(Arc::new(inputs.pictures("pixels")?.encode())).into(),
        "EmptyImage" => {
            let [_, red, green, blue] = inputs.int::<u32>("color").to_be_bytes();
            let (width, height) = (inputs.int("width"), inputs.int("height"));
            pictures(Pictures::filled(inputs.int("batch_size"), width, height, [red, green, blue]))
        }
        "ImageInvert" => pictures(inputs.pictures("image")?.inverted()),
        "ImageScale" | "ImageScaleBy" => {
            let image = inputs.pictures("image")?;
            let (width, height) = scaled_size(class, inputs, &image);
            pictures(image.scaled(width, height))
        }
        "LoadImage" => {
            let read = Pictures::from_png(&read(files, inputs.text("image"))?);
            let read =
                read.map_err(|_| Exception::new("PIL.UnidentifiedImageError", "cannot identify image file"))?;
            Made { data: vec![Data::Pictures(Arc::new(read)), Data::Mask], shown: None }
        }
        "LoadLatent" => {
            let read = Latent::from_file(&read(files, inputs.text("latent"))?);
            let kind = "safetensors._safetensors_rust.SafetensorError";
            Data::Latent(Arc::new(read.map_err(|message| Exception::new(kind, message))?)).into()
        }
        "SaveLatent" => {
            let metadata: Map<String, Value> =
                texts.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
            let file = inputs.latent("samples")?.to_file(&json!(metadata));
            let saved = save(files, Folder::Output, inputs.text("filename_prefix"), "latent", &file)?;
            Made { data: Vec::new(), shown: Some(json!({"latents": [saved]})) }
        }
        "SaveImage" => save_pictures(files, Folder::Output, inputs.text("filename_prefix"), inputs, texts)?,
        "PreviewImage" => save_pictures(files, Folder::Temp, "ComfyUI_temp_simul", inputs, texts)?,
        other => return Err(Exception::new("KeyError", format!("'{other}'"))),
    })
}

fn pictures(pictures: Pictures) -> Made {
    Data::Pictures(Arc::new(pictures)).into()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 8 × 16384")]
#[allow(clippy::cast_precision_loss, reason = "sizes are small")]
fn scaled_size(class: &str, inputs: &Inputs<'_>, image: &Pictures) -> (usize, usize) {
    if class == "ImageScaleBy" {
        let by = |size: usize| ((size as f64 * inputs.float("scale_by")).round() as usize).max(1);
        return (by(image.width), by(image.height));
    }
    // A zero asks for the image's own proportions.
    match (inputs.int("width"), inputs.int("height")) {
        (0, 0) => (image.width, image.height),
        (0, height) => ((image.width * height / image.height).max(1), height),
        (width, 0) => (width, (image.height * width / image.width).max(1)),
        size => size,
    }
}

fn read(files: &Files, name: &str) -> Result<Vec<u8>, Exception> {
    let missing =
        || Exception::new("FileNotFoundError", format!("[Errno 2] No such file or directory: '{name}'"));
    Ok(std::fs::read(files.find_annotated(name).ok_or_else(missing)?)?)
}

fn save_pictures(
    files: &Files,
    folder: Folder,
    prefix: &str,
    inputs: &Inputs<'_>,
    texts: &[(&str, String)],
) -> Result<Made, Exception> {
    let pictures = inputs.pictures("images")?;
    let mut saved = Vec::new();
    for index in 0..pictures.pixels.len() {
        let file = png(&pictures, index, texts)?;
        saved.push(save(files, folder, prefix, "png", &file)?);
    }
    Ok(Made { data: Vec::new(), shown: Some(json!({"images": saved})) })
}

/// One picture as a PNG file.
pub(crate) fn png(pictures: &Pictures, index: usize, texts: &[(&str, String)]) -> Result<Vec<u8>, Exception> {
    pictures.to_png(index, texts).map_err(|error| Exception::new("ValueError", format!("{error:#}")))
}

fn save(
    files: &Files,
    folder: Folder,
    prefix: &str,
    extension: &str,
    file: &[u8],
) -> Result<FileRef, Exception> {
    files.save(folder, prefix, extension, file)?.ok_or_else(|| {
        let output = files.directory(Folder::Output);
        let message = "**** ERROR: Saving image outside the output folder is not allowed.";
        let at = output.join(prefix);
        Exception::new(
            "Exception",
            format!(
                "{message}\n full_output_folder: {}\n         output_dir: {}",
                at.display(),
                output.display()
            ),
        )
    })
}
