//! The node classes that a server knows, read from ComfyUI's own description of them (`GET /object_info`).
mod installed;
mod kind;

use std::{
    collections::{BTreeMap, HashSet},
    io::Read as _,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use serde_json::{Map, Value, json, value::RawValue};

pub(crate) use self::{
    installed::{FOLDERS, USUAL, bytes, metadata},
    kind::{Input, Kind},
};
use crate::{
    faults::{Fault, FaultKind},
    options::Release,
};

/// What a server has: node classes and model files.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    known: Arc<Known>,
    /// Classes that are missing.
    without: HashSet<String>,
    /// FOLDER/FILE, or FILE for a checkpoint.
    models: Vec<String>,
}

/// The classes of a release, by name.
#[derive(Debug)]
struct Known(BTreeMap<String, Described>);

/// A class as `/object_info` describes it, with empty lists of files. Few of them are ever read: all of them would take
/// ten megabytes.
#[derive(Debug)]
struct Described {
    text: Box<RawValue>,
    class: OnceLock<Option<Class>>,
}

impl Described {
    fn description(&self) -> Value {
        serde_json::from_str(self.text.get()).unwrap_or_default()
    }

    fn class(&self, name: &str) -> Option<&Class> {
        let read = || Class::read(name, &self.description());
        let told = |error| tracing::error!(%error, name, "a class can't be read");
        self.class.get_or_init(|| read().map_err(told).ok()).as_ref()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Class {
    pub(crate) inputs: Vec<Input>,
    /// The types of the node's outputs.
    pub(crate) outputs: Vec<String>,
    /// Whether a prompt may end with this node.
    pub(crate) is_output: bool,
}

/// All classes of ComfyUI 0.33.0.
const RECORDED: &[u8] = include_bytes!("../../data/object_info-0.33.0.json.gz");
/// Classes that had other inputs in 0.3.64.
const OLDER: &str = include_str!("../../data/object_info-0.3.64.json");
/// Classes that do not come with ComfyUI, but with packages that many have installed.
const CUSTOM: &str = include_str!("../../data/custom_nodes.json");

impl Known {
    /// Read once in a process.
    fn of(release: Release) -> Result<Arc<Self>> {
        static READ: Mutex<Vec<(Release, Arc<Known>)>> = Mutex::new(Vec::new());
        let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = read.iter().find(|(of, _)| *of == release) {
            return Ok(known.clone());
        }
        let known = Arc::new(Self::read(release)?);
        read.push((release, known.clone()));
        Ok(known)
    }

    fn read(release: Release) -> Result<Self> {
        let mut recorded = String::new();
        GzDecoder::new(RECORDED).read_to_string(&mut recorded).context("object_info")?;
        let older = if release == Release::V0_3_64 { OLDER } else { "{}" };
        let mut classes = BTreeMap::new();
        for text in [&recorded, older, CUSTOM] {
            let read: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).context("object_info")?;
            let described = |(name, text)| (name, Described { text, class: OnceLock::new() });
            classes.extend(read.into_iter().map(described));
        }
        Ok(Self(classes))
    }
}

impl Class {
    fn read(name: &str, description: &Value) -> Result<Self> {
        let outputs = description["output"].as_array().context("no outputs")?;
        let mut inputs = Vec::new();
        for (category, is_required) in [("required", true), ("optional", false)] {
            for (input, config) in description["input"][category].as_object().into_iter().flatten() {
                inputs.push(Input::read(name, input, config, is_required)?);
            }
        }
        let output = |of: &Value| match of.as_str() {
            Some("COMFY_MATCHTYPE_V3") => "*".to_owned(),
            Some(of) => of.to_owned(),
            None => "COMBO".to_owned(),
        };
        Ok(Self {
            inputs,
            outputs: outputs.iter().map(output).collect(),
            is_output: description["output_node"] == true,
        })
    }
}

impl Catalog {
    /// The catalog of a release, with these model files: FOLDER/FILE, or FILE for a checkpoint.
    pub(crate) fn new(release: Release, models: &[String]) -> Result<Self> {
        Ok(Self { known: Known::of(release)?, without: HashSet::new(), models: models.to_vec() })
    }

    /// The catalog without the classes and files that these faults remove.
    pub(crate) fn under(&self, faults: &[Fault]) -> Self {
        let mut catalog = self.clone();
        for fault in faults {
            match &fault.kind {
                FaultKind::NoModels => catalog.models.clear(),
                FaultKind::MissingNode { class } => drop(catalog.without.insert(class.clone())),
                _ => {}
            }
        }
        catalog
    }

    /// The files in a folder of models; `None` if there is no such folder.
    pub(crate) fn models(&self, folder: &str) -> Option<Vec<String>> {
        FOLDERS.contains(&folder).then(|| installed::files_in(folder, &self.models))
    }

    pub(crate) fn class(&self, name: &str) -> Option<&Class> {
        self.known.0.get(name).filter(|_| !self.without.contains(name))?.class(name)
    }

    /// The values that an input may have, if it is a list.
    pub(crate) fn choices(&self, input: &Input) -> Option<Vec<Value>> {
        match &input.kind {
            Kind::Choice(choices) => Some(choices.clone()),
            Kind::Branches(branches) => Some(branches.iter().map(|(key, _)| key.clone()).collect()),
            Kind::ModelFile(folder, more) => {
                let files = installed::files_in(folder, &self.models).into_iter().map(Value::String);
                Some(files.chain(more.iter().cloned()).collect())
            }
            _ => None,
        }
    }

    /// `[type, options]` of an input, as errors show it.
    pub(crate) fn config(&self, input: &Input) -> Value {
        let mut config = input.config.clone();
        if let (Kind::ModelFile(..), Some(choices), Some(list)) =
            (&input.kind, self.choices(input), config.pointer_mut(input.list_at()))
        {
            *list = json!(choices);
        }
        config
    }

    /// All classes as `/object_info` shows them, with these files in the input folder.
    pub(crate) fn descriptions(&self, input_files: &[String]) -> Map<String, Value> {
        let names = self.known.0.keys();
        names.filter_map(|name| Some((name.clone(), self.description(name, input_files)?))).collect()
    }

    /// One class as `/object_info` shows it.
    pub(crate) fn description(&self, name: &str, input_files: &[String]) -> Option<Value> {
        let described = self.known.0.get(name).filter(|_| !self.without.contains(name))?;
        let mut description = described.description();
        // Not kept: a list of all classes is asked for seldom.
        let class = Class::read(name, &description).ok()?;
        for input in &class.inputs {
            let list = match input.kind {
                Kind::InputFile(what) => json!(of_kind(what, input_files)),
                Kind::ModelFile(..) => json!(self.choices(input)),
                _ => continue,
            };
            for category in ["required", "optional"] {
                let at = format!("/input/{category}/{}{}", input.name, input.list_at());
                if let Some(place) = description.pointer_mut(&at) {
                    *place = list.clone();
                }
            }
        }
        Some(description)
    }
}

/// The files that a loader lists: those whose names end as such files' do.
fn of_kind<'f>(what: &str, files: &'f [String]) -> Vec<&'f String> {
    let endings: &[&str] = match what {
        "latent" => &[".latent"],
        "video" => &[".mp4", ".webm", ".mkv", ".mov", ".avi"],
        "audio" => &[".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"],
        _ => &[".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif", ".tiff"],
    };
    files.iter().filter(|file| endings.iter().any(|ending| file.ends_with(ending))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_listed_by_folder() {
        let models = ["a.safetensors", "sub/b.safetensors", "loras/c.safetensors"].map(str::to_owned);
        let catalog = Catalog::new(Release::default(), &models).unwrap();
        assert_eq!(catalog.models("checkpoints").unwrap(), ["a.safetensors", "sub/b.safetensors"]);
        assert_eq!(catalog.models("loras").unwrap(), ["c.safetensors"]);
        assert_eq!(catalog.models("vae").unwrap(), [""; 0]);
        assert!(catalog.models("nosuch").is_none());
        let descriptions = catalog.descriptions(&[]);
        assert_eq!(descriptions["LoraLoader"]["input"]["required"]["lora_name"][0][0], "c.safetensors");
        assert_eq!(descriptions["VAELoader"]["input"]["required"]["vae_name"][0], json!(["pixel_space"]));

        let faults = ["no-models", "no-node=VAEDecode"].map(|fault| fault.parse().unwrap());
        let less = catalog.under(&faults);
        assert_eq!(less.models("checkpoints").unwrap(), [""; 0]);
        assert!(less.class("VAEDecode").is_none() && less.descriptions(&[]).get("VAEDecode").is_none());
    }

    #[test]
    fn every_recorded_class_can_be_read() {
        for release in [Release::V0_3_64, Release::V0_33_0] {
            let known = Known::of(release).unwrap();
            for (name, described) in &known.0 {
                assert!(described.class(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn a_release_has_its_own_classes() {
        let samplers = |release| {
            let catalog = Catalog::new(release, &[]).unwrap();
            let described = catalog.description("KSampler", &[]).unwrap();
            described["input"]["required"]["sampler_name"][0].as_array().unwrap().len()
        };
        assert!(samplers(Release::V0_33_0) > samplers(Release::V0_3_64));
    }

    #[test]
    fn loaders_list_files_of_their_kind() {
        let files = ["a.png", "b.mp4", "c.latent"].map(str::to_owned);
        let catalog = Catalog::new(Release::default(), &[]).unwrap();
        let listed = |class: &str, at: &str| {
            catalog.description(class, &files).unwrap()["input"]["required"].pointer(at).unwrap().clone()
        };
        assert_eq!(listed("LoadImage", "/image/0"), json!(["a.png"]));
        assert_eq!(listed("LoadVideo", "/file/1/options"), json!(["b.mp4"]));
        assert_eq!(listed("LoadLatent", "/latent/0"), json!(["c.latent"]));
    }
}
