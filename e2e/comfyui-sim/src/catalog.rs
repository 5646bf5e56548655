//! The node classes the simulator knows, read from ComfyUI's own description of them: `GET /object_info`.
use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// Every class by name.
#[derive(Debug)]
pub(crate) struct Catalog {
    classes: BTreeMap<String, Class>,
    /// As `/object_info` shows them.
    descriptions: Map<String, Value>,
}

#[derive(Debug)]
pub(crate) struct Class {
    pub(crate) inputs: Vec<Input>,
    /// The types of its outputs.
    pub(crate) outputs: Vec<String>,
    /// Whether a prompt may end in it.
    pub(crate) is_output: bool,
}

#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// `[type, options]`, as errors show it.
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
    /// One of these.
    Choice(Vec<String>),
    /// The name of a file in the input folder; whether it is there is looked up each time.
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
            Self::Choice(_) | Self::InputFile => "COMBO",
            Self::Link(kind) => kind,
        }
    }
}

impl Catalog {
    /// With these checkpoints installed.
    pub(crate) fn new(models: &[String]) -> Result<Self> {
        let mut descriptions: Map<String, Value> =
            serde_json::from_str(include_str!("object_info.json")).context("object_info.json")?;
        if let Some(names) = descriptions
            .get_mut("CheckpointLoaderSimple")
            .and_then(|d| d.pointer_mut("/input/required/ckpt_name/0"))
        {
            *names = json!(models);
        }
        let classes = descriptions
            .iter()
            .map(|(name, description)| {
                let class = class(name, description).with_context(|| format!("object_info.json: {name}"))?;
                Ok((name.clone(), class))
            })
            .collect::<Result<_>>()?;
        Ok(Self { classes, descriptions })
    }

    pub(crate) fn class(&self, name: &str) -> Option<&Class> {
        self.classes.get(name)
    }

    /// All classes as `/object_info` shows them, given the files in the input folder.
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

fn class(name: &str, description: &Value) -> Result<Class> {
    let inputs = description.pointer("/input/required").and_then(Value::as_object).context("no inputs")?;
    let outputs = description["output"].as_array().context("no outputs")?;
    Ok(Class {
        inputs: inputs
            .iter()
            .map(|(input, config)| self::input(name, input, config))
            .collect::<Result<_>>()?,
        outputs: outputs.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        is_output: description["output_node"] == true,
    })
}

fn input(class: &str, name: &str, config: &Value) -> Result<Input> {
    let options = config.get(1).cloned().unwrap_or_else(|| json!({}));
    let number = |limit: &str| options[limit].as_f64();
    let whole = |limit: &str| crate::python::int(&options[limit]).ok();
    let kind = match (&config[0], class) {
        (Value::Array(_), "LoadImage" | "LoadLatent") => Kind::InputFile,
        (Value::Array(choices), _) => {
            Kind::Choice(choices.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        (Value::String(kind), _) => match kind.as_str() {
            "INT" => Kind::Int { min: whole("min").context("min")?, max: whole("max").context("max")? },
            "FLOAT" => Kind::Float { min: number("min").context("min")?, max: number("max").context("max")? },
            "STRING" => Kind::Text,
            link => Kind::Link(link.to_owned()),
        },
        _ => anyhow::bail!("input {name} has no type"),
    };
    Ok(Input { name: name.to_owned(), kind, config: json!([config[0], options]) })
}
