//! The node classes that the simulator knows, read from ComfyUI's own description of them (`GET /object_info`).
use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::faults::{Fault, FaultKind};

/// All node classes, by name.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    classes: BTreeMap<String, Class>,
    /// The descriptions that `/object_info` shows.
    descriptions: Map<String, Value>,
}

#[derive(Debug, Clone)]
pub(crate) struct Class {
    pub(crate) inputs: Vec<Input>,
    /// The types of the node's outputs.
    pub(crate) outputs: Vec<String>,
    /// Whether a prompt may end with this node.
    pub(crate) is_output: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) is_required: bool,
    /// `[type, options]`, as errors show the input.
    pub(crate) config: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Int {
        min: i128,
        max: i128,
    },
    Float {
        min: f64,
        max: f64,
    },
    Text,
    Bool,
    /// One of these values.
    Choice(Vec<String>),
    /// The name of a file in the input folder. Whether the file exists is checked each time.
    InputFile,
    /// The output of another node, of this type.
    Link(String),
}

impl Kind {
    /// ComfyUI's name of the type.
    pub(crate) fn type_name(&self) -> &str {
        match self {
            Self::Int { .. } => "INT",
            Self::Float { .. } => "FLOAT",
            Self::Text => "STRING",
            Self::Bool => "BOOLEAN",
            Self::Choice(_) | Self::InputFile => "COMBO",
            Self::Link(kind) => kind,
        }
    }
}

/// ComfyUI's descriptions of its classes: names, types and ranges. Those of `basic` are from 0.3.64, the others from
/// 0.33.0, and two are classes of custom nodes.
const DESCRIPTIONS: [&str; 5] = [
    include_str!("object_info/basic.json"),
    include_str!("object_info/models.json"),
    include_str!("object_info/conditioning.json"),
    include_str!("object_info/sampling.json"),
    include_str!("object_info/outputs.json"),
];

/// The folders of models, and the inputs that name a file in each folder.
const MODEL_FOLDERS: [(&str, &[&str]); 6] = [
    ("checkpoints", &["ckpt_name"]),
    ("diffusion_models", &["unet_name"]),
    ("text_encoders", &["clip_name", "clip_name1", "clip_name2", "clip_name3"]),
    ("vae", &["vae_name"]),
    ("loras", &["lora_name"]),
    ("upscale_models", &["model_name"]),
];

impl Catalog {
    /// The catalog with these model files: FOLDER/FILE, or FILE for a checkpoint.
    pub(crate) fn new(models: &[String]) -> Result<Self> {
        let mut descriptions = Map::new();
        for text in DESCRIPTIONS {
            descriptions.extend(serde_json::from_str::<Map<String, Value>>(text).context("object_info")?);
        }
        let classes = descriptions
            .iter()
            .map(|(name, description)| {
                let class = class(name, description).with_context(|| format!("object_info: {name}"))?;
                Ok((name.clone(), class))
            })
            .collect::<Result<_>>()?;
        let mut catalog = Self { classes, descriptions };
        catalog.set_models(models);
        Ok(catalog)
    }

    /// The catalog without the classes and files that these faults remove.
    pub(crate) fn under(&self, faults: &[Fault]) -> Self {
        let mut catalog = self.clone();
        for fault in faults {
            match &fault.kind {
                FaultKind::NoModels => catalog.set_models(&[]),
                FaultKind::MissingNode { class } => {
                    catalog.classes.remove(class);
                    catalog.descriptions.shift_remove(class);
                }
                _ => {}
            }
        }
        catalog
    }

    fn set_models(&mut self, models: &[String]) {
        for (name, class) in &mut self.classes {
            for input in &mut class.inputs {
                let Some(folder) = folder_of(&input.name) else { continue };
                let files: Vec<String> = models_in(folder, models).collect();
                let list = match input.config[0] {
                    Value::Array(_) => "0",
                    _ => "1/options",
                };
                let described = format!("/{name}/input/required/{}/{list}", input.name);
                let in_descriptions = pointer_mut(&mut self.descriptions, &described);
                for place in in_descriptions.into_iter().chain(input.config.pointer_mut(&format!("/{list}")))
                {
                    *place = json!(files);
                }
                input.kind = Kind::Choice(files);
            }
        }
    }

    /// The files in a folder of models; `None` if there is no such folder.
    pub(crate) fn models(&self, folder: &str) -> Option<Vec<String>> {
        let (_, inputs) = MODEL_FOLDERS.iter().find(|(name, _)| *name == folder)?;
        let of_folder = |input: &&Input| inputs.contains(&input.name.as_str());
        match &self.classes.values().flat_map(|class| &class.inputs).find(of_folder)?.kind {
            Kind::Choice(files) => Some(files.clone()),
            _ => None,
        }
    }

    pub(crate) fn class(&self, name: &str) -> Option<&Class> {
        self.classes.get(name)
    }

    /// All classes as `/object_info` shows them, with these files in the input folder.
    pub(crate) fn descriptions(&self, input_files: &[String]) -> Map<String, Value> {
        let mut descriptions = self.descriptions.clone();
        for (class, input) in [("LoadImage", "image"), ("LoadLatent", "latent")] {
            let names = descriptions
                .get_mut(class)
                .and_then(|description| description.pointer_mut(&format!("/input/required/{input}/0")));
            if let Some(names) = names {
                let is_latent = |name: &&String| name.ends_with(".latent");
                *names = match class {
                    "LoadLatent" => input_files.iter().filter(is_latent).cloned().collect(),
                    _ => json!(input_files),
                };
            }
        }
        descriptions
    }
}

fn pointer_mut<'m>(map: &'m mut Map<String, Value>, pointer: &str) -> Option<&'m mut Value> {
    let (name, rest) = pointer.strip_prefix('/')?.split_once('/')?;
    map.get_mut(name)?.pointer_mut(&format!("/{rest}"))
}

fn folder_of(input: &str) -> Option<&'static str> {
    MODEL_FOLDERS.iter().find(|(_, inputs)| inputs.contains(&input)).map(|(folder, _)| *folder)
}

/// A name without a folder is a checkpoint.
fn models_in<'m>(folder: &str, models: &'m [String]) -> impl Iterator<Item = String> + use<'m> {
    let folder = folder.to_owned();
    models.iter().filter_map(move |model| {
        let named = MODEL_FOLDERS.iter().find_map(|(name, _)| {
            let file = model.strip_prefix(name)?.strip_prefix('/')?;
            Some((*name, file))
        });
        let (of, file) = named.unwrap_or(("checkpoints", model));
        (of == folder).then(|| file.to_owned())
    })
}

fn class(name: &str, description: &Value) -> Result<Class> {
    let outputs = description["output"].as_array().context("no outputs")?;
    let mut inputs = Vec::new();
    for (category, is_required) in [("required", true), ("optional", false)] {
        for (input, config) in description["input"][category].as_object().into_iter().flatten() {
            inputs.push(self::input(name, input, config, is_required)?);
        }
    }
    Ok(Class {
        inputs,
        outputs: outputs.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        is_output: description["output_node"] == true,
    })
}

fn input(class: &str, name: &str, config: &Value, is_required: bool) -> Result<Input> {
    let options = config.get(1).cloned().unwrap_or_else(|| json!({}));
    let number = |limit: &str| options[limit].as_f64();
    let whole = |limit: &str| crate::python::int(&options[limit]).ok();
    let choices = |list: &Value| list.as_array().into_iter().flatten().map(crate::python::str).collect();
    let kind = match (&config[0], class) {
        (Value::Array(_), "LoadImage" | "LoadLatent") => Kind::InputFile,
        (list @ Value::Array(_), _) => Kind::Choice(choices(list)),
        (Value::String(kind), _) => match kind.as_str() {
            "INT" => Kind::Int { min: whole("min").context("min")?, max: whole("max").context("max")? },
            "FLOAT" => Kind::Float { min: number("min").context("min")?, max: number("max").context("max")? },
            "STRING" => Kind::Text,
            "BOOLEAN" => Kind::Bool,
            "COMBO" => Kind::Choice(choices(&options["options"])),
            link => Kind::Link(link.to_owned()),
        },
        _ => anyhow::bail!("input {name} has no type"),
    };
    Ok(Input { name: name.to_owned(), kind, is_required, config: json!([config[0], options]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_listed_by_folder() {
        let models = ["a.safetensors", "sub/b.safetensors", "loras/c.safetensors"].map(str::to_owned);
        let catalog = Catalog::new(&models).unwrap();
        assert_eq!(catalog.models("checkpoints").unwrap(), ["a.safetensors", "sub/b.safetensors"]);
        assert_eq!(catalog.models("loras").unwrap(), ["c.safetensors"]);
        assert_eq!(catalog.models("vae").unwrap(), [""; 0]);
        assert!(catalog.models("nosuch").is_none());
        assert_eq!(
            catalog.descriptions(&[])["LoraLoader"]["input"]["required"]["lora_name"][0][0],
            "c.safetensors"
        );

        let faults = ["no-models", "no-node=VAEDecode"].map(|fault| fault.parse().unwrap());
        let less = catalog.under(&faults);
        assert_eq!(less.models("checkpoints").unwrap(), [""; 0]);
        assert!(less.class("VAEDecode").is_none() && less.descriptions(&[]).get("VAEDecode").is_none());
    }
}
