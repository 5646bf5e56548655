//! Node classes that nothing here knows but by their types: each output hands on the first input of its type. What is done
//! to models and words shows in the picture; images, latents and the like stay as they are.
use serde_json::Value;

use super::{Data, Inputs, Made, models::changed};
use crate::{catalog::Class, exception::Exception};

pub(super) fn run(name: &str, class: &Class, inputs: &Inputs<'_>) -> Result<Made, Exception> {
    let unknown = |what: &str| {
        Exception::new("NotImplementedError", format!("comfyui-sim does not know what {name} {what}"))
    };
    if class.is_output {
        return Err(unknown("shows"));
    }
    let hand_on = |kind: &String| {
        let mut given = class.inputs.iter().filter_map(|input| inputs.linked.get(input.name.as_str()));
        let same = given.find(|data| kind == "*" || data.kind() == kind);
        let handed_on = same.map(|data| with(data, &note(name, inputs))).or_else(|| made(kind, name, inputs));
        handed_on.ok_or_else(|| unknown(&format!("does, and it has no input of type {kind}")))
    };
    let data = class.outputs.iter().map(hand_on).collect::<Result<_, _>>()?;
    Ok(Made { data, shown: None })
}

/// What a loader loads, and what no node here looks into, such as a style model or a mesh.
fn made(kind: &str, name: &str, inputs: &Inputs<'_>) -> Option<Data> {
    const LOOKED_INTO: [&str; 12] = [
        "CONDITIONING",
        "LATENT",
        "IMAGE",
        "MASK",
        "NOISE",
        "SIGMAS",
        "GUIDER",
        "VIDEO",
        "AUDIO",
        "INT",
        "FLOAT",
        "STRING",
    ];
    match kind {
        "MODEL" if inputs.linked.is_empty() => Some(Data::Model(note(name, inputs))),
        "CLIP" if inputs.linked.is_empty() => Some(Data::Clip(note(name, inputs))),
        "MODEL" | "CLIP" => None,
        "SAMPLER" => Some(Data::Sampler(note(name, inputs))),
        "VAE" => Some(Data::Vae(note(name, inputs))),
        "CONTROL_NET" => Some(Data::ControlNet(note(name, inputs))),
        kind if LOOKED_INTO.contains(&kind) => None,
        kind => Some(Data::Other(kind.to_owned())),
    }
}

fn with(data: &Data, note: &str) -> Data {
    match data {
        Data::Model(model) => Data::Model(format!("{model} {note}")),
        Data::Clip(clip) => Data::Clip(format!("{clip} {note}")),
        Data::Conditioning(words) => changed(words, |new| new.with.push(note.to_owned())),
        other => other.clone(),
    }
}

/// The class and its constants.
fn note(name: &str, inputs: &Inputs<'_>) -> String {
    let constants = inputs.constants.iter().filter(|(_, value)| !value.is_array());
    let shown: Vec<String> =
        constants.map(|(name, value): (&String, &Value)| format!("{name}={value}")).collect();
    format!("{name}({})", shown.join(","))
}

impl Data {
    /// ComfyUI's name of the type.
    fn kind(&self) -> &str {
        match self {
            Self::Model(_) => "MODEL",
            Self::Clip(_) => "CLIP",
            Self::Vae(_) => "VAE",
            Self::ControlNet(_) => "CONTROL_NET",
            Self::UpscaleModel => "UPSCALE_MODEL",
            Self::Conditioning(_) => "CONDITIONING",
            Self::Latent(_) => "LATENT",
            Self::Pictures(_) => "IMAGE",
            Self::Mask(_) => "MASK",
            Self::Noise(_) => "NOISE",
            Self::Sampler(_) => "SAMPLER",
            Self::Sigmas(_) => "SIGMAS",
            Self::Guider(_) => "GUIDER",
            Self::Video(_) => "VIDEO",
            Self::Audio(_) => "AUDIO",
            Self::Value(Value::Number(number)) if number.is_f64() => "FLOAT",
            Self::Value(Value::Number(_)) => "INT",
            Self::Value(Value::Bool(_)) => "BOOLEAN",
            Self::Value(_) => "STRING",
            Self::Other(kind) => kind,
        }
    }
}
