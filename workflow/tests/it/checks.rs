//! What a real engine takes and refuses.

use proptest::prelude::{any, prop, proptest};
use serde_json::{Value, json};
use workflow::{Graph, ObjectInfo, check};

use crate::recorded::ENGINE;

fn graph() -> Graph {
    let nodes = json!({
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a barn", "clip": ["4", 1]}},
        "3": {"class_type": "KSampler", "inputs": {"model": ["4", 0], "seed": u64::MAX, "steps": 4, "cfg": 7,
            "sampler_name": "euler", "scheduler": "normal", "positive": ["6", 0], "negative": ["6", 0],
            "latent_image": ["5", 0], "denoise": 1.0}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "a"}},
    });
    nodes.as_object().expect("an object").clone()
}

/// What is told of the graph once `inputs` of a node are set; null takes one away.
fn told_by(known: &ObjectInfo, node: &str, inputs: &Value) -> Vec<String> {
    let mut graph = graph();
    if !graph.contains_key(node) {
        graph.insert(node.into(), json!({"class_type": "SaveImage", "inputs": {}}));
    }
    if let Some(class) = inputs.get("class_type") {
        graph[node]["class_type"] = class.clone();
    }
    for (name, value) in
        inputs.as_object().expect("an object").iter().filter(|(name, _)| *name != "class_type")
    {
        let has = graph[node]["inputs"].as_object_mut().expect("inputs");
        if value.is_null() {
            has.remove(name)
        } else {
            has.insert(name.clone(), value.clone())
        };
    }
    check(&graph, known).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn told(node: &str, inputs: &Value) -> Vec<String> {
    told_by(&ENGINE, node, inputs)
}

#[test]
fn each_misfit_is_one_sentence_with_node_input_and_what_is_allowed() {
    let table = [
        (
            "3",
            json!({"class_type": "KSampller"}),
            "node 3: the engine has no node class \"KSampller\"; did you mean KSampler?",
        ),
        ("3", json!({"steps": null}), "node 3 (KSampler): steps is not given; it takes INT"),
        (
            "3",
            json!({"steps": null, "stps": 5}),
            "node 3 (KSampler): steps is not given; it takes INT; \"stps\" is given: did you mean \"steps\"?",
        ),
        ("3", json!({"steps": 0}), "node 3 (KSampler): steps is 0; it must be between 1 and 10000"),
        ("3", json!({"steps": "five"}), "node 3 (KSampler): steps is \"five\"; it takes a whole number"),
        ("3", json!({"cfg": "x"}), "node 3 (KSampler): cfg is \"x\"; it takes a number"),
        ("3", json!({"cfg": -0.5}), "node 3 (KSampler): cfg is -0.5; it must be between 0.0 and 100.0"),
        (
            "3",
            json!({"seed": -1}),
            "node 3 (KSampler): seed is -1; it must be between 0 and 18446744073709551615",
        ),
        (
            "3",
            json!({"sampler_name": "eulr"}),
            "node 3 (KSampler): sampler_name is \"eulr\", which is none of the 44 that the engine has; did you mean euler",
        ),
        (
            "3",
            json!({"scheduler": "kerras"}),
            "node 3 (KSampler): scheduler is \"kerras\", which is none of the 9 that the engine has: \"simple\", ",
        ),
        (
            "3",
            json!({"latent_image": ["6", 0]}),
            "node 3 (KSampler): latent_image takes LATENT, but is linked to node 6 (CLIPTextEncode), which gives CONDITIONING",
        ),
        (
            "3",
            json!({"model": ["40", 0]}),
            "node 3 (KSampler): model is linked to node \"40\", which the workflow does not have",
        ),
        (
            "3",
            json!({"model": ["4", 3]}),
            "node 3 (KSampler): model is linked to output 3 of node 4 (CheckpointLoaderSimple), whose outputs are: 0 MODEL, 1 CLIP, 2 VAE",
        ),
        (
            "3",
            json!({"model": ["4"]}),
            "node 3 (KSampler): model is an array, but no link: write [\"node id\", output]",
        ),
        (
            "3",
            json!({"model": "xl"}),
            "node 3 (KSampler): model is \"xl\"; it takes a link to a node that gives MODEL",
        ),
        ("6", json!({"clip": ["5", 0]}), "node 6 (CLIPTextEncode): clip takes CLIP, but"),
        (
            "9",
            json!({"class_type": "VAEDecode", "samples": ["3", 0], "vae": ["4", 2]}),
            "the workflow has no output node, such as SaveImage",
        ),
        ("20", json!({"class_type": "DifferentialDiffusion", "model": ["4", 0], "strenght": 1.0}), ""),
    ];
    for (node, inputs, want) in table {
        let told = told(node, &inputs);
        if want.is_empty() {
            assert!(told.is_empty(), "it leads to no output: {told:?}");
        } else {
            assert!(told.len() == 1 && told[0].starts_with(want), "{inputs}: {told:#?}");
        }
    }
    let mut circle = graph();
    circle.insert("1".into(), json!({"class_type": "ImageInvert", "inputs": {"image": ["2", 0]}}));
    circle.insert("2".into(), json!({"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}}));
    assert_eq!(check(&circle, &ENGINE), Ok(()), "it leads to no output");
    circle["9"]["inputs"]["images"] = json!(["1", 0]);
    let told = check(&circle, &ENGINE).expect_err("a circle");
    assert_eq!(told[0].to_string(), "node 1: the nodes are linked in a circle: 1 → 2 → 1");
}

#[test]
fn a_misspelt_optional_input_is_refused_and_an_input_of_the_editor_is_not() {
    let linked = |inputs: Value| {
        let mut graph = graph();
        graph.insert("20".into(), json!({"class_type": "DifferentialDiffusion", "inputs": inputs}));
        graph["20"]["inputs"]["model"] = json!(["4", 0]);
        graph["3"]["inputs"]["model"] = json!(["20", 0]);
        check(&graph, &ENGINE).err().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        linked(json!({"strenght": 0.5})),
        [
            "node 20 (DifferentialDiffusion): it has no input \"strenght\"; it has model, strength; did you mean \"strength\"?"
        ]
    );
    for inputs in [json!({"upload": "image"}), json!({"strength": 1, "strengths": 2}), json!({"seed": 5})] {
        assert!(linked(inputs).is_empty());
    }
}

#[test]
fn what_the_engine_takes_is_not_refused() {
    let fine = [
        ("3", json!({"steps": "5", "cfg": "8.8e+1", "seed": "0", "denoise": true})),
        ("3", json!({"steps": 5.9, "cfg": "nan"})),
        ("6", json!({"text": 5})),
        ("6", json!({"text": {"__value__": "a barn"}})),
        ("3", json!({"model": ["4", -3], "anything": ["no", 7], "else": null})),
        ("20", json!({"class_type": "KSampler", "steps": -5})),
        ("20", json!({"class_type": "PreviewAny", "source": ["4", 0]})),
        (
            "20",
            json!({"class_type": "SaveVideo", "video": ["21", 0], "filename_prefix": "v", "format": "auto",
            "format.codec": "h264"}),
        ),
    ];
    for (node, inputs) in fine {
        let told: Vec<String> =
            told(node, &inputs).into_iter().filter(|told| !told.contains("linked to node \"21\"")).collect();
        assert!(told.is_empty(), "{inputs}: {told:#?}");
    }
}

#[test]
fn inputs_that_a_choice_brings_are_checked_as_well() {
    let crf = json!({"class_type": "ColorTransfer", "source_stats": "target_frame", "source_stats.target_index": -1});
    let told = told("8", &crf);
    assert!(
        told.iter().any(|told| told.contains("source_stats.target_index is -1; it must be between 0")),
        "{told:?}"
    );
    let mut graph = graph();
    graph["9"] = json!({"class_type": "SaveImage", "inputs": {"images": ["30", 0], "filename_prefix": "a"}});
    for (inputs, want) in [
        (json!({"images.image0": ["8", 0]}), None),
        (json!({"images.image0": ["8", 0], "images.image1": ["4", 0]}), Some("images.image1 takes IMAGE")),
        (json!({}), Some("images.image0 is not given; it takes IMAGE")),
    ] {
        graph.insert("30".into(), json!({"class_type": "BatchImagesNode", "inputs": inputs}));
        let told = check(&graph, &ENGINE).err().unwrap_or_default();
        assert_eq!(told.len(), usize::from(want.is_some()), "{told:?}");
        assert!(want.is_none_or(|want| told[0].to_string().contains(want)), "{told:?}");
    }
}

#[test]
fn lists_of_files_count_where_the_engine_tells_them() {
    let mut nodes: Value = serde_json::from_str(&ENGINE.to_json()).expect("JSON");
    nodes["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] =
        json!(["sd_xl_base_1.0.safetensors", "v1-5-pruned.safetensors"]);
    nodes["LoadImage"]["input"]["required"]["image"][0] = json!(["example.png"]);
    let known = ObjectInfo::parse(nodes.to_string().as_bytes()).expect("node definitions");
    assert_eq!(
        told_by(&known, "4", &json!({"ckpt_name": "sdxl_base_1.0.safetensors"})),
        [
            "node 4 (CheckpointLoaderSimple): ckpt_name is \"sdxl_base_1.0.safetensors\", which is none of the 2 that the \
          engine has: \"sd_xl_base_1.0.safetensors\", \"v1-5-pruned.safetensors\"; did you mean \
          sd_xl_base_1.0.safetensors?"
        ]
    );
    let new_file = json!({"class_type": "LoadImage", "image": "uploaded-just-now.png"});
    assert_eq!(told_by(&known, "8", &new_file), Vec::<String>::new(), "the engine looks for the file itself");
}

/// Cases that a real server answered, the same that the simulator is held against.
#[test]
fn a_real_server_s_verdicts_are_ours() {
    const CASES: &str = include_str!("../../../e2e/comfyui-sim/tests/recordings/validation.json");
    let cases: Vec<Value> = serde_json::from_str(CASES).expect("JSON");
    let mut compared = 0;
    for case in &cases {
        let Some(body) = case["body"].as_str() else { continue };
        let Ok(graph) = workflow::parse(body.as_bytes()) else { continue };
        let refused = case["status"] == 400
            || case["json"]["node_errors"].as_object().is_some_and(|errors| !errors.is_empty());
        let told = check(&graph, &ENGINE).err().unwrap_or_default();
        // Which models that server had is not in the recording of the nodes, and targets are not in the graph.
        let of_graph = !case["name"].as_str().is_some_and(|name| name.starts_with("partial_targets"));
        if !of_graph || case["json"].to_string().contains("ckpt_name") || case["status"] == 500 {
            continue;
        }
        assert_eq!(!told.is_empty(), refused, "{}: {}", case["name"], case["json"]);
        compared += 1;
    }
    assert!(compared >= 5, "{compared} cases");
}

#[test]
fn a_graph_of_many_thousand_nodes_in_a_row_is_checked() {
    let mut graph = graph();
    for n in 100..20_100_u32 {
        let from = if n == 100 { json!(["8", 0]) } else { json!([(n - 1).to_string(), 0]) };
        graph.insert(n.to_string(), json!({"class_type": "ImageInvert", "inputs": {"image": from}}));
    }
    graph["9"]["inputs"]["images"] = json!(["20099", 0]);
    assert_eq!(check(&graph, &ENGINE), Ok(()));
}

proptest! {
    #[test]
    fn whatever_the_text_it_is_a_graph_or_a_sentence(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = workflow::parse(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn wherever_a_workflow_is_cut_or_changed_it_is_a_graph_or_a_sentence(at in 0..900_usize, put in "[,'/NIT#\u{20ac}\n]{0,3}") {
        let mut text = serde_json::to_string_pretty(&graph()).expect("JSON");
        let at = at.min(text.len());
        if text.is_char_boundary(at) {
            text.insert_str(at, &put);
            let _ = workflow::parse(text.as_bytes()).map_err(|error| error.to_string());
            text.truncate(at);
            let _ = workflow::parse(text.as_bytes()).map_err(|error| error.to_string());
        }
    }
}
