//! What an input takes, read from its description in `/object_info`.
use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::installed;
use crate::python;

#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) is_required: bool,
    /// `[type, options]`, as errors show the input. Lists of files are empty here.
    pub(crate) config: Value,
}

#[derive(Debug, Clone)]
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
    Choice(Vec<Value>),
    /// One of these values, each of which brings inputs of its own, named `input.name`.
    Branches(Vec<(Value, Vec<Input>)>),
    /// An installed file of this folder, or one of these values.
    ModelFile(&'static str, Vec<Value>),
    /// The name of a file in the input folder: an image, latent, video or audio. Whether it is there is checked each time.
    InputFile(&'static str),
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
            Self::Choice(_) | Self::Branches(_) | Self::ModelFile(..) | Self::InputFile(_) => "COMBO",
            Self::Link(kind) => kind,
        }
    }
}

impl Input {
    pub(super) fn read(class: &str, name: &str, config: &Value, is_required: bool) -> Result<Self> {
        let options = config.get(1).cloned().unwrap_or_else(|| json!({}));
        let kind = kind(class, name, &config[0], &options)?;
        // The inputs that a growing list needs are not named here.
        let is_required = is_required && config[0] != "COMFY_AUTOGROW_V3";
        Ok(Self { name: name.to_owned(), kind, is_required, config: json!([config[0], options]) })
    }

    /// Where a list of values stands in `[type, options]`.
    pub(super) fn list_at(&self) -> &'static str {
        if self.config[0].is_array() { "/0" } else { "/1/options" }
    }
}

fn kind(class: &str, name: &str, of: &Value, options: &Value) -> Result<Kind> {
    let number = |limit: &str| options[limit].as_f64();
    let whole = |limit: &str| python::int(&options[limit]).ok();
    let list = match of {
        Value::Array(list) => Some(list),
        Value::String(kind) if kind == "COMBO" => options["options"].as_array(),
        _ => None,
    };
    if let Some(list) = list {
        if let Some(what) = input_file(class, options) {
            return Ok(Kind::InputFile(what));
        }
        return Ok(match installed::folder_of(class, name) {
            Some(folder) => Kind::ModelFile(folder, list.clone()),
            None => Kind::Choice(list.clone()),
        });
    }
    let of = of.as_str().with_context(|| format!("input {name} has no type"))?;
    Ok(match of {
        "INT" => Kind::Int { min: whole("min").unwrap_or(i128::MIN), max: whole("max").unwrap_or(i128::MAX) },
        "FLOAT" => Kind::Float {
            min: number("min").unwrap_or(f64::NEG_INFINITY),
            max: number("max").unwrap_or(f64::INFINITY),
        },
        // A list that the server is asked for later is not checked.
        "STRING" | "COMBO" => Kind::Text,
        "BOOLEAN" => Kind::Bool,
        "COMFY_DYNAMICCOMBO_V3" => Kind::Branches(branches(class, name, options)?),
        "COMFY_AUTOGROW_V3" | "COMFY_MATCHTYPE_V3" => Kind::Link("*".to_owned()),
        link => Kind::Link(link.to_owned()),
    })
}

fn input_file(class: &str, options: &Value) -> Option<&'static str> {
    let uploads = |of: &str| options[of] == true;
    match class {
        "LoadLatent" => Some("latent"),
        _ if uploads("image_upload") => Some("image"),
        _ if uploads("video_upload") => Some("video"),
        _ if uploads("audio_upload") => Some("audio"),
        _ => None,
    }
}

fn branches(class: &str, name: &str, options: &Value) -> Result<Vec<(Value, Vec<Input>)>> {
    let branch = |branch: &Value| {
        let mut inputs = Vec::new();
        for category in ["required", "optional"] {
            for (inner, config) in branch["inputs"][category].as_object().into_iter().flatten() {
                inputs.push(Input::read(class, &format!("{name}.{inner}"), config, false)?);
            }
        }
        Ok((branch["key"].clone(), inputs))
    };
    options["options"].as_array().into_iter().flatten().map(branch).collect()
}
