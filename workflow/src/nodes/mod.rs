//! An engine's node definitions, from its answer to `GET /object_info`.
//!
//! Kept is what a graph is checked by, in a compact form: names and lists of choices that stand several times are held
//! once. [`ObjectInfo::to_json`] writes the same shape that ComfyUI answers, less what is not kept, so one reader takes
//! both.

mod read;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Number, Value};

use crate::near::nearest;

/// A text that is no list of node definitions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an answer to GET /object_info: {0}")]
pub struct NotObjectInfo(String);

/// The nodes that an engine has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObjectInfo {
    classes: BTreeMap<Arc<str>, Class>,
}

/// A node's class.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    pub(crate) inputs: Vec<Input>,
    /// What the engine itself fills in.
    pub(crate) hidden: Vec<Arc<str>>,
    pub(crate) outputs: Vec<Output>,
    flags: Flags,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[allow(clippy::struct_excessive_bools)] // as the engine answers them
struct Flags {
    is_output: bool,
    is_custom: bool,
    is_api: bool,
}

/// What a node gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Output {
    /// Types, separated by commas. A list of choices counts as `COMBO`.
    pub(crate) kind: Arc<str>,
    pub(crate) name: Arc<str>,
}

/// What a node takes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Input {
    pub(crate) name: Arc<str>,
    pub(crate) required: bool,
    pub(crate) kind: Kind,
    pub(crate) min: Option<Number>,
    pub(crate) max: Option<Number>,
    /// A file that was uploaded into the engine's input folder.
    pub(crate) upload: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// Types, separated by commas; `*` is any.
    Type(Arc<str>),
    /// One of these. None at all: they are not known.
    Choice(Arc<[Value]>),
    /// `COMFY_DYNAMICCOMBO_V3`: each choice brings inputs of its own, named `input.name`.
    Dynamic(Vec<(Value, Vec<Input>)>),
    /// `COMFY_AUTOGROW_V3`: inputs named `input.name`, of which the first `min` are required.
    Grow { names: Vec<Arc<str>>, min: usize, each: Box<Input> },
    /// Whatever it takes is not looked at.
    Opaque,
}

impl ObjectInfo {
    /// Reads an engine's answer to `GET /object_info`, or what [`ObjectInfo::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// If it is not a JSON object of class → definition. A definition with parts of unknown shape is kept without them.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotObjectInfo> {
        read::parse(bytes)
    }

    /// The same in ComfyUI's shape, as JSON, less what no check needs.
    #[must_use]
    pub fn to_json(&self) -> String {
        write::value(self).to_string()
    }

    /// The definition of a class.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<&Class> {
        self.classes.get(name)
    }

    /// How many classes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The names of the classes, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.classes.keys().map(|name| &**name)
    }

    /// What may be given for an input: choices of a list (model files, samplers), none where it has no list or the
    /// engine does not tell it.
    #[must_use]
    pub fn choices(&self, class: &str, input: &str) -> Vec<&str> {
        match self.class(class).and_then(|class| class.input(input)).map(|input| &input.kind) {
            Some(Kind::Choice(choices)) => choices.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// The models that an image is made with: checkpoints and diffusion models, as the engine lists them, sorted.
    #[must_use]
    pub fn models(&self) -> Vec<&str> {
        const INPUTS: [&str; 2] = ["ckpt_name", "unet_name"];
        let inputs = self.classes.values().flat_map(|class| &class.inputs);
        let lists =
            inputs.filter(|input| INPUTS.contains(&&*input.name)).filter_map(|input| match &input.kind {
                Kind::Choice(choices) => Some(choices),
                _ => None,
            });
        let names = lists.flat_map(|choices| choices.iter()).filter_map(Value::as_str);
        names.collect::<BTreeSet<&str>>().into_iter().collect()
    }

    /// Adds what another engine has, so that a graph fits if it fits one of them: its classes, and its choices of those
    /// that both have.
    pub fn merge(&mut self, other: &Self) {
        for (name, theirs) in &other.classes {
            let Some(ours) = self.classes.get_mut(name) else {
                self.classes.insert(name.clone(), theirs.clone());
                continue;
            };
            for input in &mut ours.inputs {
                let Some(also) = theirs.input(&input.name) else { continue };
                if let (Kind::Choice(choices), Kind::Choice(more)) = (&mut input.kind, &also.kind) {
                    let new: Vec<&Value> = more.iter().filter(|choice| !choices.contains(choice)).collect();
                    if !new.is_empty() {
                        *choices = choices.iter().chain(new).cloned().collect();
                    }
                }
            }
        }
    }

    /// Up to `most` classes that a slip may have made into `name`.
    #[must_use]
    pub fn nearest(&self, name: &str, most: usize) -> Vec<String> {
        nearest(name, self.names(), most)
    }
}

impl Class {
    /// The engine runs what leads to a node of this class.
    #[must_use]
    pub fn is_output(&self) -> bool {
        self.flags.is_output
    }

    /// It comes from a package of nodes, not from the engine itself.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        self.flags.is_custom
    }

    /// It calls a service on the internet, which is paid for (`api_node`).
    #[must_use]
    pub fn is_api(&self) -> bool {
        self.flags.is_api
    }

    pub(crate) fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| &*input.name == name)
    }

    /// Whether it takes inputs that its definition does not name.
    pub(crate) fn is_open(&self) -> bool {
        self.inputs
            .iter()
            .any(|input| matches!(input.kind, Kind::Dynamic(_) | Kind::Grow { .. } | Kind::Opaque))
    }
}
