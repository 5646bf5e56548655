use serde_json::json;

use super::*;

fn graph(value: &Value) -> Graph {
    value.as_object().unwrap().clone()
}

fn sampler(seed: &Value) -> Graph {
    graph(&json!({"3": {"class_type": "KSampler", "inputs": {"seed": seed, "steps": 4}}}))
}

#[test]
fn what_is_not_a_graph_says_how_to_get_one() {
    let table = [
        (json!({}), "it has no nodes"),
        (
            json!({"last_node_id": 9, "nodes": [{"id": 1}], "links": []}),
            "this is the editor's own format; save the workflow with Workflow > Export (API)",
        ),
        (json!({"6": "text"}), "node \"6\" is not an object; save the workflow with Workflow > Export (API)"),
        (
            json!({"6": {"inputs": {}}}),
            "node \"6\" has no class_type; save the workflow with Workflow > Export (API)",
        ),
        (
            json!({"6": {"class_type": "Note", "inputs": "none"}}),
            "node \"6\" has inputs that are not an object; save the workflow with Workflow > Export (API)",
        ),
    ];
    for (value, why) in table {
        assert_eq!(check(&graph(&value)), Err(why.to_owned()));
    }
    assert_eq!(check(&graph(&json!({"57:8": {"class_type": "Note"}}))), Ok(()));
}

#[test]
fn only_inputs_that_a_node_has_can_be_set() {
    let nodes = json!({
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a barn", "clip": ["4", 1]}},
        "57:8": {"class_type": "KSampler", "inputs": {"a.b": 1}},
        "9": {"class_type": "Note"},
    });
    let set = |inputs: Value| {
        let mut graph = graph(&nodes);
        set_inputs(&mut graph, inputs.as_object().unwrap()).map(|()| graph)
    };
    let refused = [
        (json!({"text": 1}), "spec.workflow.inputs[\"text\"]: write it as node.input, e.g. 6.text"),
        (json!({"99.text": 1}), "spec.workflow.inputs[\"99.text\"]: the workflow has no node \"99\""),
        (
            json!({"6.prompt": "x"}),
            "spec.workflow.inputs[\"6.prompt\"]: node 6 (CLIPTextEncode) has no input \"prompt\"; it has text, clip",
        ),
        (
            json!({"9.text": 1}),
            "spec.workflow.inputs[\"9.text\"]: node 9 (Note) has no input \"text\"; it has none",
        ),
    ];
    for (inputs, why) in refused {
        assert_eq!(set(inputs), Err(why.to_owned()));
    }
    let set = set(json!({"6.text": "a harbour", "57:8.a.b": 2})).unwrap();
    assert_eq!(
        (&set["6"]["inputs"]["text"], &set["57:8"]["inputs"]["a.b"]),
        (&json!("a harbour"), &json!(2))
    );
}

#[test]
fn seeds_are_whole_numbers_in_the_end_or_refused_with_words() {
    let settled = |seed: Value, count| {
        let mut graph = sampler(&seed);
        settle_seeds(&mut graph, count).map(|()| graph["3"]["inputs"]["seed"].clone())
    };
    for (seed, whole) in [
        (json!(7), json!(7)),
        (json!(7.0), json!(7)),
        (json!("7"), json!(7)),
        (json!(-1), json!(-1)),
        (json!(u64::MAX - 1), json!(u64::MAX - 1)),
    ] {
        assert_eq!(settled(seed, 2), Ok(whole));
    }
    let refused = [
        (json!(15_555_555_555_555_555_890.0), "seed is above 9223372036854775807; inline numbers"),
        (json!(7.5), "seed is 7.5, not a whole number"),
        (json!("seven"), "seed is \"seven\", not a whole number"),
        (json!(null), "seed is null, not a whole number"),
        (json!(u64::MAX), "seed 18446744073709551615 can't be counted up for 2 images"),
    ];
    for (seed, why) in refused {
        let told = settled(seed, 2).unwrap_err();
        assert!(told.starts_with(&format!("node 3 (KSampler): {why}")), "{told}");
    }
    assert_eq!(settled(json!(u64::MAX), 1), Ok(json!(u64::MAX)));
}

#[test]
fn a_seed_that_is_linked_is_followed_to_its_number() {
    let with = |other: Value, count| {
        let mut graph = sampler(&json!(["10", 0]));
        graph.insert("10".into(), other);
        settle_seeds(&mut graph, count).map(|()| graph["3"]["inputs"]["seed"].clone())
    };
    let primitive = json!({"class_type": "PrimitiveInt", "inputs": {"value": 42}});
    assert_eq!(with(primitive, 2), Ok(json!(42)));
    let counts_itself = json!({"class_type": "Seed", "inputs": {"seed": 5}});
    assert_eq!(with(counts_itself, 2), Ok(json!(["10", 0])), "its own seed is counted up");
    let sum = json!({"class_type": "Add", "inputs": {"a": 1, "b": 2}});
    assert_eq!(with(sum.clone(), 1), Ok(json!(["10", 0])));
    let told = with(sum, 2).unwrap_err();
    assert!(told.contains("is linked to node 10, whose value can't be counted up"), "{told}");
}

#[test]
fn a_model_is_all_that_loaders_load() {
    let checkpoint =
        json!({"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl.safetensors"}});
    let flux = json!({
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev.safetensors", "weight_dtype": "default"}},
        "2": {"class_type": "DualCLIPLoader", "inputs": {"clip_name1": "t5xxl.safetensors",
              "clip_name2": "clip_l.safetensors", "type": "flux"}},
        "3": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
    });
    let lora = json!({"1": checkpoint, "2": {"class_type": "LoraLoader",
        "inputs": {"lora_name": "style.safetensors", "model": ["1", 0]}}});
    let gguf = json!({"1": {"class_type": "UnetLoaderGGUF", "inputs": {"unet_name": "flux-Q4.gguf"}}});
    let folder = json!({"1": {"class_type": "DiffusersLoader", "inputs": {"model_name": "sd-folder"}}});
    let control = json!({"1": checkpoint, "2": {"class_type": "ControlNetLoader",
        "inputs": {"control_net_name": "canny.pth"}}, "3": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}});
    let table = [
        (json!({"1": {"class_type": "EmptyImage", "inputs": {"width": 64}}}), ""),
        (json!({"1": checkpoint}), "xl.safetensors"),
        (flux, "ae.safetensors+clip_l.safetensors+flux1-dev.safetensors+t5xxl.safetensors"),
        (lora, "style.safetensors+xl.safetensors"),
        (gguf, "+flux-Q4.gguf"),
        (folder, "+sd-folder"),
        (control, "canny.pth+xl.safetensors"),
    ];
    for (nodes, want) in table {
        let model = model(&graph(&nodes));
        assert_eq!(model, want);
        assert_eq!(is_checkpoint(&model), want == "xl.safetensors");
    }
    let many = (0..20).map(|n| {
        let loader = json!({"class_type": "LoraLoader", "inputs": {"lora_name": format!("a-long-name-{n}.safetensors")}});
        (n.to_string(), loader)
    });
    assert!(model(&many.collect()).len() <= MAX_MODEL);
}

#[test]
fn work_is_alike_whatever_its_seed_and_texts_and_not_whatever_its_steps() {
    let flow = |seed: u64, text: &str, steps: u32, scheduler: &str| {
        graph(&json!({
            "3": {"class_type": "KSampler", "inputs": {"seed": seed, "steps": steps, "scheduler": scheduler}},
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": text}},
            "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": text}},
        }))
    };
    let one = work(&flow(1, "a", 20, "normal"));
    assert_eq!(one, work(&flow(2, "another text", 20, "normal")));
    assert_ne!(one, work(&flow(1, "a", 40, "normal")));
    assert_ne!(one, work(&flow(1, "a", 20, "karras")));
}

#[test]
fn a_digest_does_not_depend_on_the_order_of_keys_and_does_on_every_value() {
    let digest = |text: &str| digest(&graph(&serde_json::from_str(text).unwrap()));
    let one =
        digest(r#"{"1": {"class_type": "A", "inputs": {"a": 1, "b": [1, 2]}}, "2": {"class_type": "B"}}"#);
    assert_eq!(
        one,
        digest(r#"{"2": {"class_type": "B"}, "1": {"inputs": {"b": [1, 2], "a": 1}, "class_type": "A"}}"#)
    );
    assert_ne!(
        one,
        digest(r#"{"1": {"class_type": "A", "inputs": {"a": 1, "b": [2, 1]}}, "2": {"class_type": "B"}}"#)
    );
    assert!(one.starts_with("sha256:") && one.len() == 71);
}
