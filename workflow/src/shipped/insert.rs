//! LoRAs, another VAE, masks and ControlNets in a shipped graph.

use crds::{ControlNet, Decimal, Family, Lora, Sampling};
use serde_json::{Value, json};

use crate::{
    Graph, InputPath, class_of,
    recipe::{RecipeProblem, Rendered},
};

/// Node ids of the shipped graphs, the same in all of them.
const SAMPLER: &str = "3";
const MODEL: &str = "4";
const START: &str = "5";
const VAE: &str = "10";
const CLIP: &str = "11";
/// The ids of what is put in begin here.
const MASK: usize = 30;
const OTHER_VAE: &str = "39";
const LORAS: usize = 40;
const CONTROL_NETS: usize = 60;

/// Puts in what the user asked for beyond the recipe's inputs.
pub(super) fn options(
    made: &mut Rendered,
    asked: &Sampling,
    mask: Option<&str>,
    family: Family,
    files: &[&str],
) -> Result<(), RecipeProblem> {
    if !asked.control_nets.is_empty() && family == Family::FLUX2 {
        let why =
            format!("the engine has no ControlNet node for the family {}; leave them out", family.as_str());
        return Err(RecipeProblem::input("controlNets", why));
    }
    loras(&mut made.graph, &asked.loras);
    if let Some(vae) = &asked.vae {
        other_vae(&mut made.graph, vae);
    }
    if let Some(file) = mask {
        known(file, files, "mask")?;
        let path = masked(&mut made.graph, file);
        add_file(made, file, path);
    }
    for (index, control) in asked.control_nets.iter().enumerate() {
        known(&control.image, files, &format!("controlNets[{index}].image"))?;
        let path = control_net(&mut made.graph, control, index, family);
        add_file(made, &control.image, path);
    }
    Ok(())
}

fn known(file: &str, files: &[&str], name: &str) -> Result<(), RecipeProblem> {
    if files.contains(&file) {
        return Ok(());
    }
    let has =
        if files.is_empty() { "it has none".to_owned() } else { format!("it has {}", files.join(", ")) };
    Err(RecipeProblem::input(name, format!("is {file:?}, which is no entry of the job's spec.inputs; {has}")))
}

fn add_file(made: &mut Rendered, file: &str, path: InputPath) {
    match made.files.iter_mut().find(|(name, _)| name == file) {
        Some((_, paths)) => paths.push(path),
        None => made.files.push((file.to_owned(), vec![path])),
    }
}

/// Loaders between the model's loader and whatever used that. Where the text encoders come with the model, a LoRA changes
/// them too; else it changes the model alone, as the engine's own templates have it.
fn loras(graph: &mut Graph, loras: &[Lora]) {
    let in_one_file = !graph.contains_key(CLIP);
    for (index, Lora { name, weight }) in loras.iter().enumerate() {
        let id = (LORAS + index).to_string();
        let from = if index == 0 { MODEL.to_owned() } else { (LORAS + index - 1).to_string() };
        relink(graph, &from, 0, &id, 0);
        let mut inputs = json!({"model": [from, 0], "lora_name": name, "strength_model": number(*weight)});
        let class = if in_one_file {
            relink(graph, &from, 1, &id, 1);
            inputs["clip"] = json!([from, 1]);
            inputs["strength_clip"] = number(*weight);
            "LoraLoader"
        } else {
            "LoraLoaderModelOnly"
        };
        add(graph, &id, class, inputs);
    }
}

fn other_vae(graph: &mut Graph, vae: &str) {
    if graph.contains_key(VAE) {
        graph[VAE]["inputs"]["vae_name"] = vae.into();
        return;
    }
    relink(graph, MODEL, 2, OTHER_VAE, 0);
    add(graph, OTHER_VAE, "VAELoader", json!({"vae_name": vae}));
}

/// White of the mask is sampled anew.
fn masked(graph: &mut Graph, file: &str) -> InputPath {
    let (load, set) = (MASK.to_string(), (MASK + 1).to_string());
    relink(graph, START, 0, &set, 0);
    add(graph, &load, "LoadImageMask", json!({"image": file, "channel": "red"}));
    add(graph, &set, "SetLatentNoiseMask", json!({"samples": [START, 0], "mask": [load, 0]}));
    InputPath::new(load, "image")
}

fn control_net(graph: &mut Graph, control: &ControlNet, index: usize, family: Family) -> InputPath {
    let first = CONTROL_NETS + 3 * index;
    let [loader, image, apply] = [first, first + 1, first + 2].map(|id| id.to_string());
    let vae = vae_of(graph);
    add(graph, &image, "LoadImage", json!({"image": control.image}));
    let strength = number(control.strength);
    if family == Family::ZImage {
        // Its ControlNets are patches of the model.
        let from = model_of(graph);
        let (id, output) =
            (from[0].as_str().unwrap_or(MODEL).to_owned(), from[1].as_u64().unwrap_or_default());
        relink(graph, &id, output, &apply, 0);
        add(graph, &loader, "ModelPatchLoader", json!({"name": control.model}));
        let inputs = json!({"model": from, "model_patch": [loader, 0], "vae": vae, "image": [image, 0],
            "strength": strength});
        add(graph, &apply, "QwenImageDiffsynthControlnet", inputs);
    } else {
        let sampler = &mut graph[SAMPLER]["inputs"];
        let (positive, negative) = (sampler["positive"].clone(), sampler["negative"].clone());
        sampler["positive"] = json!([apply, 0]);
        sampler["negative"] = json!([apply, 1]);
        add(graph, &loader, "ControlNetLoader", json!({"control_net_name": control.model}));
        let mut inputs = json!({"positive": positive, "negative": negative, "control_net": [loader, 0],
            "image": [image, 0], "strength": strength, "start_percent": 0.0, "end_percent": 1.0});
        if !matches!(family, Family::SD15 | Family::SDXL | Family::SDXLTurbo | Family::SDXLLightning) {
            // Newer ones look at the image's latent.
            inputs["vae"] = vae;
        }
        add(graph, &apply, "ControlNetApplyAdvanced", inputs);
    }
    InputPath::new(image, "image")
}

/// What the decoder uses.
fn vae_of(graph: &Graph) -> Value {
    let decoder = graph.values().find(|node| class_of(node) == "VAEDecode");
    decoder.map_or_else(|| json!([VAE, 0]), |node| node["inputs"]["vae"].clone())
}

/// The model as its loaders and patches leave it: what sets its sampling takes that.
fn model_of(graph: &Graph) -> Value {
    let sampling = graph.values().find(|node| class_of(node).starts_with("ModelSampling"));
    sampling.map_or_else(|| json!([MODEL, 0]), |node| node["inputs"]["model"].clone())
}

/// Has all that is linked to one output linked to another.
fn relink(graph: &mut Graph, from: &str, output: u64, to: &str, new_output: u64) {
    let old = json!([from, output]);
    for node in graph.values_mut() {
        let inputs = node.get_mut("inputs").and_then(Value::as_object_mut);
        for value in inputs.into_iter().flat_map(serde_json::Map::values_mut).filter(|value| **value == old) {
            *value = json!([to, new_output]);
        }
    }
}

fn add(graph: &mut Graph, id: &str, class: &str, inputs: Value) {
    let node = Value::from_iter([("class_type", class.into()), ("inputs", inputs)]);
    graph.insert(id.to_owned(), node);
}

fn number(decimal: Decimal) -> Value {
    json!(decimal.to_f64())
}
