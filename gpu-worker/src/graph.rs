//! The graph that makes one image of a job.

use queue::TaskSpec;
use serde_json::{Map, Value};

use crate::{comfyui::Segment, cut::cut, latents::Begun};

/// The input that names the files a node saves.
const PREFIX_INPUT: &str = "filename_prefix";

/// A graph that makes one image of a job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Graph {
    /// node id → {class_type, inputs}
    pub(crate) nodes: Map<String, Value>,
    /// The seed of this image; `None` for a graph with none, or with several.
    pub(crate) seed: Option<u64>,
    /// The parts its sampling is cut into; none if it is not.
    pub(crate) segments: Vec<Segment>,
}

impl Graph {
    /// The graph for image `index` of a job. `prefix` names its files and has to be new each time: the engine
    /// answers a prompt it has run before with the old file's name. `begun`: what an earlier attempt has done.
    #[must_use]
    pub(crate) fn new(spec: &TaskSpec, index: u32, prefix: &str, begun: Option<&Begun>) -> Self {
        let (mut nodes, seed) = seeded(spec, index);
        for inputs in nodes.values_mut().filter_map(|node| node.get_mut("inputs")?.as_object_mut()) {
            if let Some(input @ Value::String(_)) = inputs.get_mut(PREFIX_INPUT) {
                *input = prefix.into();
            }
        }
        let segments = match &spec.cut {
            Some(at) => cut(&mut nodes, at, prefix, begun),
            None => Vec::new(),
        };
        Self { nodes, seed, segments }
    }
}

/// The job's graph with the seeds of an image, and its seed if it is one.
pub(crate) fn seeded(spec: &TaskSpec, index: u32) -> (Map<String, Value>, Option<u64>) {
    let mut nodes = spec.graph.clone();
    let mut seeds = Vec::new();
    for at in &spec.seeds {
        let seed = at.first.wrapping_add(if at.counts { u64::from(index) } else { 0 });
        let inputs = nodes.get_mut(&at.node).and_then(|node| node.get_mut("inputs")?.as_object_mut());
        if let Some(input) = inputs.and_then(|inputs| inputs.get_mut(&at.input)) {
            *input = seed.into();
            seeds.push(seed);
        }
    }
    seeds.dedup();
    let seed = if let [seed] = seeds[..] { Some(seed) } else { None };
    (nodes, seed)
}

#[cfg(test)]
mod tests {
    use queue::{Cut, SeedAt, TaskSpec};
    use serde_json::{Value, json};

    use super::{Begun, Graph};

    const LARGEST_SEED: u64 = u64::MAX - 10_000;

    fn spec(graph: Value) -> TaskSpec {
        let mut spec = json!({"timeoutSeconds": 300});
        spec["graph"] = graph;
        serde_json::from_value(spec).expect("a spec")
    }

    fn seed_at(node: &str, input: &str, first: u64) -> SeedAt {
        SeedAt { node: node.into(), input: input.into(), first, counts: true }
    }

    fn picture() -> TaskSpec {
        let graph = json!({
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}},
            "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a lighthouse", "clip": ["4", 1]}},
            "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
            "3": {"class_type": "KSampler", "inputs": {
                "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0],
                "seed": 0, "steps": 20, "cfg": 7.5, "sampler_name": "dpmpp_2m", "scheduler": "karras",
                "denoise": 1.0}},
            "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "mine"}}
        });
        TaskSpec { seeds: vec![seed_at("3", "seed", 42)], ..spec(graph) }
    }

    #[test]
    fn an_image_has_its_own_seed_and_file_names_and_nothing_else_changes() {
        let picture = picture();
        let graph = Graph::new(&picture, 3, "job/3-x", None);
        let mut expected = picture.graph.clone();
        expected["3"]["inputs"]["seed"] = json!(45);
        expected["9"]["inputs"]["filename_prefix"] = json!("job/3-x");
        assert_eq!(graph, Graph { nodes: expected, seed: Some(45), segments: vec![] });
    }

    fn cut(segments: u32, begun: Option<&Begun>) -> Graph {
        let cut = Cut { sampler: "3".into(), steps: 20, segments };
        Graph::new(&TaskSpec { cut: Some(cut), ..picture() }, 0, "job/0-x", begun)
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
        assert_eq!(sampler(&graph, "3-6"), json!([0, 6, "enable", "enable", ["5", 0]]));
        assert_eq!(sampler(&graph, "3-13"), json!([6, 13, "disable", "enable", ["3-6", 0]]));
        assert_eq!(sampler(&graph, "3"), json!([13, 10_000, "disable", "disable", ["3-13", 0]]));
        let saved = json!({"samples": ["3-6", 0], "filename_prefix": "job/0-x-6"});
        assert_eq!(graph.nodes["3-6-latent"], json!({"class_type": "SaveLatent", "inputs": saved}));
        let ends: Vec<_> = graph.segments.iter().map(|s| (s.sampler.as_str(), s.steps.clone())).collect();
        assert_eq!(ends, [("3-6", 0..6), ("3-13", 6..13), ("3", 13..20)]);
    }

    #[test]
    fn a_later_attempt_takes_the_steps_that_are_left_at_the_same_cuts() {
        let begun = Begun { steps: 6, gpu_ms: 0, file: "x.latent [temp]".into() };
        let (graph, whole) = (cut(3, Some(&begun)), cut(3, None));
        let load = json!({"class_type": "LoadLatent", "inputs": {"latent": "x.latent [temp]"}});
        assert_eq!(graph.nodes["3-begun"], load);
        assert!(!graph.nodes.contains_key("3-6"));
        assert_eq!(sampler(&graph, "3-13"), json!([6, 13, "disable", "enable", ["3-begun", 0]]));
        assert_eq!(graph.nodes["3"], whole.nodes["3"]);
        assert_eq!(graph.segments, whole.segments[1..]);
    }

    /// The graphs with which pictures in segments were measured to be the same to the last bit.
    #[test]
    fn segments_are_those_of_the_recording() {
        let recorded = include_str!("../tests/it/recordings/segments.json");
        let recorded: Value = serde_json::from_str(recorded).expect("JSON");
        let mut graph = recorded[1]["prompt"].clone();
        let latent = graph["5"]["inputs"]["latent"].as_str().expect("a file").to_owned();
        graph["5"] = recorded[0]["prompt"]["5"].clone();
        let sampler = &recorded[0]["prompt"]["3"]["inputs"];
        graph["3"] = json!({"class_type": "KSampler", "inputs": {
            "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0],
            "seed": 0, "steps": 20, "cfg": sampler["cfg"], "sampler_name": sampler["sampler_name"],
            "scheduler": sampler["scheduler"], "denoise": 1.0}});
        let seeds = vec![seed_at("3", "seed", sampler["noise_seed"].as_u64().expect("a seed"))];
        let cut = Some(Cut { sampler: "3".into(), steps: 20, segments: 2 });
        let work = TaskSpec { seeds, cut, ..spec(graph) };
        let begun = Begun { steps: 10, gpu_ms: 0, file: latent };
        let (first, second) =
            (Graph::new(&work, 0, "lat/seg", None), Graph::new(&work, 0, "s", Some(&begun)));
        // Where each has a prompt of its own, both samplers may be called 3.
        let renamed = |node: &Value| -> Value {
            let text = node.to_string().replace("3-10", "3").replace("3-begun", "5");
            serde_json::from_str(&text.replace("lat/seg-10", "lat/seg")).expect("JSON")
        };
        for (ours, theirs) in
            [("4", "4"), ("5", "5"), ("6", "6"), ("7", "7"), ("3-10", "3"), ("3-10-latent", "10")]
        {
            let mut recorded = recorded[0]["prompt"][theirs].clone();
            if theirs == "10" {
                recorded["inputs"]["filename_prefix"] = json!("lat/seg");
            }
            assert_eq!(renamed(&first.nodes[ours]), recorded, "{ours}");
        }
        for (ours, theirs) in
            [("3", "3"), ("4", "4"), ("3-begun", "5"), ("6", "6"), ("7", "7"), ("8", "8"), ("9", "9")]
        {
            assert_eq!(renamed(&second.nodes[ours]), recorded[1]["prompt"][theirs], "{ours}");
        }
    }

    #[test]
    fn the_largest_seed_stays_a_whole_number_and_counts_on_from_zero() {
        let of = |index| {
            let work = TaskSpec { seeds: vec![seed_at("3", "seed", LARGEST_SEED)], ..picture() };
            Graph::new(&work, index, "p", None)
        };
        let graph = of(9_999);
        assert_eq!(graph.seed, Some(u64::MAX - 1));
        let sent = serde_json::to_string(&graph.nodes).expect("JSON");
        assert!(sent.contains(r#""seed":18446744073709551614,"#), "{sent}");
        assert_eq!(of(10_001).seed, Some(0));
    }

    #[test]
    fn a_graph_with_several_seeds_has_no_seed_of_its_own() {
        let graph = json!({
            "1": {"class_type": "KSampler", "inputs": {"seed": 1}},
            "2": {"class_type": "KSampler", "inputs": {"seed": 2}},
            "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": ["8", 0]}}
        });
        let two = TaskSpec { seeds: vec![seed_at("1", "seed", 1), seed_at("2", "seed", 2)], ..spec(graph) };
        let made = Graph::new(&two, 1, "p", None);
        assert_eq!(made.seed, None);
        assert_eq!(
            (&made.nodes["1"]["inputs"]["seed"], &made.nodes["2"]["inputs"]["seed"]),
            (&json!(2), &json!(3))
        );
        assert_eq!(made.nodes["3"], two.graph["3"], "a name that is linked stays linked");
        assert_eq!(Graph::new(&spec(json!({})), 0, "p", None).seed, None);
    }

    #[test]
    fn one_seed_for_all_images_is_not_counted_up() {
        let seeds = vec![SeedAt { counts: false, ..seed_at("3", "seed", 42) }];
        assert_eq!(Graph::new(&TaskSpec { seeds, ..picture() }, 7, "p", None).seed, Some(42));
    }
}
