use serde_json::json;

use super::*;

fn recipe() -> ImageRecipeSpec {
    let spec = json!({
        "graph": {
            "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl.safetensors"}},
            "3": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 20, "cfg": 7.0, "tiled": false,
                "sampler_name": "euler", "model": ["1", 0]}},
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["1", 1]}},
            "7": {"class_type": "LoadImage", "inputs": {"image": "none.png"}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}},
        },
        "inputs": [
            {"name": "prompt", "type": "String", "to": ["6.text"], "required": true, "maxLength": 12},
            {"name": "steps", "type": "Integer", "to": ["3.steps"], "default": 20, "minimum": "1", "maximum": 50},
            {"name": "cfg", "type": "Number", "to": ["3.cfg"], "default": "7.5", "minimum": "0"},
            {"name": "tiled", "type": "Boolean", "to": ["3.tiled"]},
            {"name": "sampler", "type": "Enum", "to": ["3.sampler_name"], "choices": ["euler", "heun"]},
            {"name": "photo", "type": "Image", "to": ["7.image"]},
            {"name": "seed", "type": "Seed", "to": ["3.seed"]},
        ],
        "outputs": ["9"], "unitsFrom": ["steps", "cfg"], "cutAt": "3",
    });
    serde_json::from_value(spec).unwrap()
}

fn made(recipe: &ImageRecipeSpec, values: &Value) -> Result<Rendered, String> {
    let job = JobFacts { files: &["cat", "dog"], count: 2, ..JobFacts::default() };
    let graph = recipe.graph.clone().unwrap();
    render(recipe, graph, values.as_object().unwrap(), job).map_err(|problem| problem.to_string())
}

#[test]
fn values_go_where_the_recipe_says() {
    let values = json!({"prompt": "a barn", "steps": "30", "tiled": true, "sampler": "heun", "photo": "dog",
        "seed": "15555555555555555555"});
    let made = made(&recipe(), &values).unwrap();
    let inputs = json!({"seed": 15_555_555_555_555_555_555_u64, "steps": 30, "cfg": 7.5, "tiled": true,
        "sampler_name": "heun", "model": ["1", 0]});
    assert_eq!(made.graph["3"]["inputs"], inputs);
    assert_eq!(made.files, [("dog".to_owned(), vec![InputPath::new("7", "image")])]);
    let first = 15_555_555_555_555_555_555;
    assert_eq!(made.seeds, [SeedAt { path: InputPath::new("3", "seed"), first }]);
    assert_eq!((made.units, made.model.as_str(), made.cut.as_deref()), (225.0, "xl.safetensors", Some("3")));
}

#[test]
fn what_is_left_out_is_the_default_or_the_workflow_s_own() {
    let mut facts = JobFacts { count: 2, ..JobFacts::default() };
    let recipe = recipe();
    let graph = recipe.graph.clone().unwrap();
    let values = json!({"prompt": "a barn"});
    let made = render(&recipe, graph.clone(), values.as_object().unwrap(), facts).unwrap();
    assert_eq!((made.seeds[0].first, &made.graph["7"]["inputs"]["image"]), (5, &json!("none.png")));
    facts.drawn_seed = Some(9);
    assert_eq!(render(&recipe, graph, values.as_object().unwrap(), facts).unwrap().seeds[0].first, 9);
}

#[test]
fn each_problem_names_the_input_and_what_is_allowed() {
    let table = [
        (json!({}), "inputs.prompt: it is required: give a text"),
        (json!({"prompt": 5}), "inputs.prompt: is 5; give a text"),
        (json!({"prompt": "a very long text"}), "inputs.prompt: has 16 characters; at most 12 are allowed"),
        (json!({"steps": 0}), "inputs.steps: is 0; give a whole number from 1 to 50"),
        (json!({"steps": 2.5}), "inputs.steps: is 2.5; give a whole number from 1 to 50"),
        (json!({"cfg": "-1"}), "inputs.cfg: is \"-1\"; give a number or a decimal text of 0 or more"),
        (json!({"cfg": "nan"}), "inputs.cfg: is \"nan\"; give a number or a decimal text of 0 or more"),
        (json!({"tiled": "yes"}), "inputs.tiled: is \"yes\"; give true or false"),
        (
            json!({"sampler": "huen"}),
            "inputs.sampler: is \"huen\"; give one of euler, heun; did you mean \"heun\"?",
        ),
        (
            json!({"photo": "bird"}),
            "inputs.photo: is \"bird\"; give the name of an entry of spec.inputs: cat, dog",
        ),
        (
            json!({"seed": -1}),
            "inputs.seed: is -1; give a whole number from 0 to 18446744073709551615, above",
        ),
        (
            json!({"seed": 15_555_555_555_555_555_000_u64}),
            "inputs.seed: is 15555555555555555000; give a whole number from 0 to 18446744073709551615, above \
             9223372036854775807 as a text",
        ),
        (
            json!({"seed": u64::MAX.to_string()}),
            "node 3 (KSampler): seed 18446744073709551615 can't be counted up for 2 images",
        ),
        (
            json!({"prmpt": "x"}),
            "inputs.prmpt: the recipe has no such input; it has prompt, steps, cfg, tiled, sampler, photo, seed; did \
             you mean \"prompt\"?",
        ),
    ];
    for (mut values, why) in table {
        if values != json!({}) && values.get("prompt").is_none() {
            values["prompt"] = json!("a barn");
        }
        let told = made(&recipe(), &values).unwrap_err();
        assert!(told.starts_with(why), "{values}: {told}");
    }
}

type Change<'a> = &'a dyn Fn(&mut ImageRecipeSpec);

#[test]
fn a_wrong_recipe_is_told_as_such() {
    let with = |change: Change<'_>| {
        let mut recipe = recipe();
        change(&mut recipe);
        made(&recipe, &json!({"prompt": "a barn"})).unwrap_err()
    };
    let table: [(Change<'_>, &str); 6] = [
        (
            &|recipe| recipe.inputs[1].to = vec!["3.stps".into()],
            "its input \"steps\": to \"3.stps\": node 3 (KSampler) has no input",
        ),
        (
            &|recipe| recipe.inputs[5].to = vec!["70.image".into()],
            "its input \"photo\": to \"70.image\": the workflow has no node",
        ),
        (
            &|recipe| recipe.inputs[1].default = Some(json!(60)),
            "its input \"steps\": default: is 60; give a whole number",
        ),
        (&|recipe| recipe.outputs = vec!["99".into()], "its outputs: the workflow has no node \"99\""),
        (
            &|recipe| recipe.cut_at = Some("6".into()),
            "its cutAt: node 6 is a CLIPTextEncode; only a KSampler",
        ),
        (
            &|recipe| recipe.units_from = vec!["prompt".into()],
            "its unitsFrom: \"prompt\" is not an input of type",
        ),
    ];
    for (change, why) in table {
        let told = with(change);
        assert!(told.starts_with(&format!("the recipe is wrong: {why}")), "{told}");
    }
}

#[test]
fn a_recipe_without_a_seed_is_told_in_its_authors_words() {
    let without = |seed: Value| {
        let mut recipe = recipe();
        recipe.inputs.retain(|input| input.name != "seed");
        recipe.graph.as_mut().unwrap()["3"]["inputs"]["seed"] = seed;
        made(&recipe, &json!({"prompt": "a barn"})).unwrap_err()
    };
    assert_eq!(
        without(json!(-1)),
        "no seed of the recipe can be counted up, so all 2 images would be the same: give the recipe an input of type \
         Seed, or say sameSeed: true, or count: 1"
    );
    let mut linked = recipe();
    linked.graph.as_mut().unwrap()["3"]["inputs"]["seed"] = json!(["6", 0]);
    assert_eq!(
        made(&linked, &json!({"prompt": "a barn"})).unwrap_err(),
        "the recipe is wrong: its input of type Seed to \"3.seed\": is linked to node 6, whose value can't be counted \
         up; name an input that is a number"
    );
}
