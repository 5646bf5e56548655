use queue::{TextToImage, Work};
use serde_json::{Map, Value, json};

use crate::{
    comfyui::Segment,
    latents::Begun,
    sampling::{SAMPLED, START, Sampling},
};

/// Sizes that are no multiple of this are silently floored by the engine.
const SIZE_STEP: u32 = 8;
/// Inputs that a seed goes into, in the engine's own nodes.
const SEED_INPUTS: [&str; 2] = ["seed", "noise_seed"];
/// The input that names the files a node saves.
const PREFIX_INPUT: &str = "filename_prefix";

/// A graph that makes one image of a job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Graph {
    /// node id → {class_type, inputs}
    pub(crate) nodes: Map<String, Value>,
    /// The seed of this image; `None` for a workflow with none, or with several.
    pub(crate) seed: Option<u64>,
    /// The parts its sampling is cut into; none if it is not.
    pub(crate) segments: Vec<Segment>,
}

impl Graph {
    /// The graph for image `index` of a job. `prefix` names its files and has to be new each time: the engine
    /// answers a prompt it has run before with the old file's name. `begun`: what an earlier attempt has done.
    #[must_use]
    pub(crate) fn new(work: &Work, index: u32, prefix: &str, begun: Option<&Begun>) -> Self {
        match work {
            Work::TextToImage(picture) => text_to_image(picture, index, prefix, begun),
            Work::Workflow { graph } => workflow(graph, index, prefix),
        }
    }
}

/// Node ids as in the engine's own default workflow, which its users know.
fn text_to_image(picture: &TextToImage, index: u32, prefix: &str, begun: Option<&Begun>) -> Graph {
    let TextToImage { model, prompt, negative_prompt, .. } = picture;
    let seed = picture.seed.wrapping_add(u64::from(index));
    let node = |id: &str, class: &str, inputs: Value| {
        (id.to_owned(), json!({"class_type": class, "inputs": inputs}))
    };
    let from = match begun {
        None => {
            let (width, height) = (rounded(picture.width), rounded(picture.height));
            let inputs = json!({"width": width, "height": height, "batch_size": 1});
            node(START, "EmptyLatentImage", inputs)
        }
        Some(begun) => node(START, "LoadLatent", json!({"latent": begun.file})),
    };
    let Sampling { nodes: sampling, segments } =
        Sampling::new(picture, seed, begun.map_or(0, |begun| begun.steps), prefix);
    let before = [
        node("4", "CheckpointLoaderSimple", json!({"ckpt_name": model})),
        from,
        node("6", "CLIPTextEncode", json!({"text": prompt, "clip": ["4", 1]})),
        node("7", "CLIPTextEncode", json!({"text": negative_prompt, "clip": ["4", 1]})),
    ];
    let after = [
        node("8", "VAEDecode", json!({"samples": [SAMPLED, 0], "vae": ["4", 2]})),
        node("9", "SaveImage", json!({"images": ["8", 0], PREFIX_INPUT: prefix})),
    ];
    let nodes = before.into_iter().chain(sampling).chain(after).collect();
    Graph { nodes, seed: Some(seed), segments }
}

fn rounded(size: u32) -> u32 {
    (size.saturating_add(SIZE_STEP / 2) / SIZE_STEP * SIZE_STEP).max(SIZE_STEP)
}

/// The user's graph as it is, but for literal seeds (which move on by `index`) and file names (which are ours).
/// What is linked from another node stays linked.
fn workflow(graph: &Map<String, Value>, index: u32, prefix: &str) -> Graph {
    let mut nodes = graph.clone();
    let mut seeds = Vec::new();
    for node in nodes.values_mut() {
        let Some(inputs) = node.get_mut("inputs").and_then(Value::as_object_mut) else { continue };
        for name in SEED_INPUTS {
            let Some(input) = inputs.get_mut(name) else { continue };
            let Some(literal) = literal_seed(input) else { continue };
            let seed = literal.wrapping_add(u64::from(index));
            *input = seed.into();
            seeds.push(seed);
        }
        if let Some(input @ Value::String(_)) = inputs.get_mut(PREFIX_INPUT) {
            *input = prefix.into();
        }
    }
    seeds.dedup();
    let seed = if let [seed] = seeds[..] { Some(seed) } else { None };
    Graph { nodes, seed, segments: vec![] }
}

/// A seed that stands in the graph itself, 0 … 2^64 − 1. The engine takes texts and floats for whole numbers too, and the
/// API server makes floats of numbers from 2^63 on.
fn literal_seed(input: &Value) -> Option<u64> {
    const LIMIT: f64 = 18_446_744_073_709_551_616.0;
    match input {
        Value::Number(number) => number.as_u64().or_else(|| {
            let float =
                number.as_f64().filter(|float| float.fract() == 0.0 && (0.0..LIMIT).contains(float))?;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a whole number in range
            let whole = float as u64;
            Some(whole)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use queue::{TextToImage, Work};
    use serde_json::{Value, json};

    use super::{Begun, Graph};

    const LARGEST_SEED: u64 = (1 << 53) - 1;

    fn picture() -> TextToImage {
        TextToImage {
            model: "sd15.safetensors".into(),
            prompt: "a lighthouse".into(),
            negative_prompt: "blurry".into(),
            width: 512,
            height: 768,
            steps: 20,
            cfg_scale: 7.5,
            sampler: "dpmpp_2m".into(),
            scheduler: "karras".into(),
            seed: 42,
            segments: 1,
        }
    }

    fn workflow(graph: Value) -> Work {
        let Value::Object(graph) = graph else { panic!("a graph") };
        Work::Workflow { graph }
    }

    #[test]
    fn text_to_image_is_the_plain_seven_node_graph() {
        let graph = Graph::new(&Work::TextToImage(picture()), 0, "job/0-x", None);
        let expected = json!({
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}},
            "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse", "clip": ["4", 1]}},
            "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
            "3": {"class_type": "KSampler", "inputs": {
                "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0],
                "seed": 42, "steps": 20, "cfg": 7.5, "sampler_name": "dpmpp_2m", "scheduler": "karras",
                "denoise": 1.0}},
            "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "job/0-x"}}
        });
        assert_eq!(Value::Object(graph.nodes), expected);
        assert_eq!(graph.seed, Some(42));
    }

    fn cut(segments: u32, begun: Option<&Begun>) -> Graph {
        Graph::new(&Work::TextToImage(TextToImage { segments, ..picture() }), 0, "job/0-x", begun)
    }

    /// start_at_step, end_at_step, add_noise, return_with_leftover_noise, and what it goes on from.
    fn sampler(graph: &Graph, id: &str) -> Value {
        assert_eq!(graph.nodes[id]["class_type"], "KSamplerAdvanced");
        let inputs = &graph.nodes[id]["inputs"];
        assert_eq!(
            (&inputs["noise_seed"], &inputs["steps"]),
            (&json!(42), &json!(20)),
            "the whole picture's"
        );
        let names =
            ["start_at_step", "end_at_step", "add_noise", "return_with_leftover_noise", "latent_image"];
        names.map(|name| inputs[name].clone()).to_vec().into()
    }

    #[test]
    fn segments_are_a_chain_with_a_latent_saved_at_each_cut() {
        let graph = cut(3, None);
        assert_eq!(sampler(&graph, "10006"), json!([0, 6, "enable", "enable", ["5", 0]]));
        assert_eq!(sampler(&graph, "10013"), json!([6, 13, "disable", "enable", ["10006", 0]]));
        assert_eq!(sampler(&graph, "3"), json!([13, 10_000, "disable", "disable", ["10013", 0]]));
        let saved = json!({"samples": ["10006", 0], "filename_prefix": "job/0-x-6"});
        assert_eq!(graph.nodes["20006"], json!({"class_type": "SaveLatent", "inputs": saved}));
        let ends: Vec<_> = graph.segments.iter().map(|s| (s.sampler.as_str(), s.steps.clone())).collect();
        assert_eq!(ends, [("10006", 0..6), ("10013", 6..13), ("3", 13..20)]);
    }

    #[test]
    fn a_later_attempt_takes_the_steps_that_are_left_at_the_same_cuts() {
        let begun = Begun { steps: 6, gpu_ms: 0, file: "x.latent [temp]".into() };
        let (graph, whole) = (cut(3, Some(&begun)), cut(3, None));
        let load = json!({"class_type": "LoadLatent", "inputs": {"latent": "x.latent [temp]"}});
        assert_eq!(graph.nodes["5"], load);
        assert!(!graph.nodes.contains_key("10006"));
        assert_eq!(sampler(&graph, "10013"), json!([6, 13, "disable", "enable", ["5", 0]]));
        assert_eq!(graph.nodes["3"], whole.nodes["3"]);
        assert_eq!(graph.segments, whole.segments[1..]);
    }

    /// The graphs with which pictures in segments were measured to be the same to the last bit.
    #[test]
    fn segments_are_those_of_the_recording() {
        let recorded = include_str!("../tests/it/recordings/segments.json");
        let recorded: Value = serde_json::from_str(recorded).expect("JSON");
        let picture = TextToImage {
            model: "rand_sd15_tiny.safetensors".into(),
            prompt: "a photo of a cat".into(),
            negative_prompt: "bad".into(),
            width: 64,
            height: 64,
            steps: 20,
            cfg_scale: 5.0,
            sampler: "euler".into(),
            scheduler: "normal".into(),
            seed: 7777,
            segments: 2,
        };
        let work = Work::TextToImage(picture);
        let begun = Begun {
            steps: 10,
            gpu_ms: 0,
            file: recorded[1]["prompt"]["5"]["inputs"]["latent"].as_str().expect("a file").into(),
        };
        let (first, second) =
            (Graph::new(&work, 0, "lat/seg", None), Graph::new(&work, 0, "s", Some(&begun)));
        let mut of_first = recorded[0]["prompt"].clone();
        // Where each has a prompt of its own, both samplers may be called 3.
        of_first["10"]["inputs"]["samples"][0] = "10010".into();
        of_first["10"]["inputs"]["filename_prefix"] = "lat/seg-10".into();
        for (ours, theirs) in
            [("4", "4"), ("5", "5"), ("6", "6"), ("7", "7"), ("10010", "3"), ("20010", "10")]
        {
            assert_eq!(first.nodes[ours], of_first[theirs], "{ours}");
        }
        for node in ["3", "4", "5", "6", "7", "8", "9"] {
            assert_eq!(second.nodes[node], recorded[1]["prompt"][node], "{node}");
        }
    }

    #[test]
    fn the_largest_seed_stays_a_whole_number() {
        let picture = TextToImage { seed: LARGEST_SEED, ..picture() };
        let graph = Graph::new(&Work::TextToImage(picture), 9_999, "p", None);
        assert_eq!(graph.seed, Some(9_007_199_254_750_990));
        let sent = serde_json::to_string(&graph.nodes).expect("JSON");
        assert!(sent.contains(r#""seed":9007199254750990,"#), "{sent}");
    }

    #[test]
    fn sizes_are_rounded_to_what_the_engine_can_draw() {
        let picture = TextToImage { width: 100, height: 3, ..picture() };
        let graph = Graph::new(&Work::TextToImage(picture), 0, "p", None);
        assert_eq!(graph.nodes["5"]["inputs"]["width"], 104);
        assert_eq!(graph.nodes["5"]["inputs"]["height"], 8);
    }

    #[test]
    fn a_workflow_keeps_all_but_literal_seeds_and_file_names() {
        let work = workflow(json!({
            "1": {"class_type": "RandomNoise", "inputs": {"noise_seed": 7}},
            "2": {"class_type": "KSampler", "inputs": {"seed": ["9", 0], "cfg": 7.0, "steps": 4}},
            "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "../../evil", "images": ["2", 0]}},
            "4": {"class_type": "SaveImage", "inputs": {"filename_prefix": ["8", 0]}},
            "5": "not a node"
        }));
        let graph = Graph::new(&work, 3, "p", None);
        let expected = json!({
            "1": {"class_type": "RandomNoise", "inputs": {"noise_seed": 10}},
            "2": {"class_type": "KSampler", "inputs": {"seed": ["9", 0], "cfg": 7.0, "steps": 4}},
            "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "p", "images": ["2", 0]}},
            "4": {"class_type": "SaveImage", "inputs": {"filename_prefix": ["8", 0]}},
            "5": "not a node"
        });
        assert_eq!(Value::Object(graph.nodes), expected);
        assert_eq!(graph.seed, Some(10));
    }

    #[test]
    fn any_seed_that_the_engine_takes_moves_on() {
        let table = [
            (json!(5), 3, Some(8)),
            (json!(5.0), 3, Some(8)),
            (json!("5"), 3, Some(8)),
            (json!(" 7 "), 1, Some(8)),
            (json!(15_555_555_555_555_555_555u64), 1, Some(15_555_555_555_555_555_556)),
            (json!("15555555555555555555"), 1, Some(15_555_555_555_555_555_556)),
            (json!(9_223_372_036_854_775_808.0), 1, Some(9_223_372_036_854_775_809)),
            (json!(u64::MAX), 0, Some(u64::MAX)),
            (json!(u64::MAX), 1, Some(0)),
            (json!(18_446_744_073_709_551_616.0), 1, None),
            (json!(-1), 1, None),
            (json!(1.5), 1, None),
            (json!("random"), 1, None),
            (json!(["9", 0]), 1, None),
            (json!(null), 1, None),
        ];
        for (seed, index, expected) in table {
            let work = workflow(json!({"1": {"class_type": "KSampler", "inputs": {"seed": seed.clone()}}}));
            let graph = Graph::new(&work, index, "p", None);
            assert_eq!(graph.seed, expected, "{seed}");
            let sent = &graph.nodes["1"]["inputs"]["seed"];
            assert_eq!(*sent, expected.map_or(seed, |seed| json!(seed)), "what is no seed is left alone");
        }
    }

    #[test]
    fn a_workflow_with_several_seeds_has_no_seed_of_its_own() {
        let two = workflow(json!({
            "1": {"class_type": "KSampler", "inputs": {"seed": 1}},
            "2": {"class_type": "KSampler", "inputs": {"seed": 2}}
        }));
        assert_eq!(Graph::new(&two, 0, "p", None).seed, None);
        let none = workflow(json!({"1": {"class_type": "EmptyImage", "inputs": {"color": 1}}}));
        assert_eq!(Graph::new(&none, 0, "p", None).seed, None);
    }
}
