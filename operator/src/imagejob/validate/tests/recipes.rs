use super::*;

/// `ImageRecipe studio/portrait`, changed by a JSON merge.
fn recipe_with(change: &Value) -> Box<ImageRecipeSpec> {
    let mut recipe = json!({
        "graph": graph(),
        "inputs": [
            {"name": "prompt", "type": "String", "to": ["6.text"], "required": true, "maxLength": 12},
            {"name": "steps", "type": "Integer", "to": ["3.steps"], "default": 20, "minimum": 1, "maximum": 50},
            {"name": "seed", "type": "Seed", "to": ["3.seed"]},
        ],
        "outputs": ["9"],
        "unitsFrom": ["steps"],
    });
    json_patch::merge(&mut recipe, change);
    serde_json::from_value(recipe).unwrap()
}

fn recipe(change: &Value) -> References {
    References { recipe: Source::Found(recipe_with(change)), ..references() }
}

fn from_recipe(inputs: &Value) -> ImageJob {
    let work =
        json!({"type": "Recipe", "textToImage": null, "recipe": {"name": "portrait", "inputs": inputs}});
    job_with(json!({"spec": {"work": work}}))
}

#[test]
fn a_recipe_makes_what_its_inputs_say() {
    let job = from_recipe(&json!({"prompt": "a harbour", "steps": 40, "seed": "18446744073709551000"}));
    let accepted = accepted(&job, &recipe(&json!({"cutAt": "3"})));
    let task = task_of(&accepted);
    assert_eq!(
        (&task.graph["6"]["inputs"]["text"], &task.graph["3"]["inputs"]["steps"]),
        (&json!("a harbour"), &json!(40))
    );
    assert_eq!((task.outputs, accepted.terms.seed), (vec!["9".to_owned()], Some(18_446_744_073_709_551_000)));
    assert_eq!((accepted.job.units, accepted.job.unit_ms), (40.0, 500.0));
    assert_eq!(
        (accepted.job.model.as_str(), accepted.job.work.as_str()),
        ("xl.safetensors", "r:studio/portrait:xl.safetensors")
    );
    assert!(accepted.terms.digest.is_some(), "a recipe may change behind the job's back");
}

#[test]
fn a_recipe_is_a_workflow_to_a_pool_that_takes_none() {
    let job = from_recipe(&json!({"prompt": "a harbour"}));
    let with = |limits: Value| {
        let pool = with_pool(json!({"spec": {"limits": limits}})).pool;
        References { pool, ..recipe(&json!({})) }
    };
    let message = "the pool takes no workflows, and a recipe has one (spec.limits.workflows; spec.limits.recipes: true \
                   lets recipes in)";
    refused(&job, &with(json!({"workflows": false})), JobReason::LimitExceeded, Course::Waits, message);
    assert!(validated(&job, &with(json!({"workflows": false, "recipes": true}))).is_ok());
    let message = "node 9: the pool does not run nodes of class \"SaveImage\", by its rule \"SaveImage\" \
                   (spec.limits.denyNodes)";
    let strict = with(json!({"denyNodes": ["SaveImage"]}));
    refused(&job, &strict, JobReason::LimitExceeded, Course::Waits, message);
}

#[test]
fn a_recipe_that_is_not_there_or_wrong_is_waited_for() {
    use JobReason::{RecipeInvalid, RecipeNotFound};
    let missing = Source::Missing { message: "ImageRecipe studio/portrait does not exist (yet)".to_owned() };
    let in_config_map = json!({"graph": null, "configMapRef": {"name": "flows", "key": "a.json"}});
    let table = [
        (
            References { recipe: missing, ..references() },
            RecipeNotFound,
            "ImageRecipe studio/portrait does not exist (yet)",
        ),
        (references(), RecipeNotFound, "ImageRecipe studio/portrait does not exist (yet)"),
        (
            recipe(&json!({"outputs": ["99"]})),
            RecipeInvalid,
            "ImageRecipe portrait: its outputs: the workflow has no node \"99\"",
        ),
        (
            recipe(&json!({"unitsFrom": ["prompt"]})),
            RecipeInvalid,
            "ImageRecipe portrait: its unitsFrom: \"prompt\" is not an input of type Integer or Number with a value",
        ),
        (
            recipe(&json!({"graph": {"9": 5}})),
            RecipeInvalid,
            "ImageRecipe portrait: node \"9\" is not an object; ",
        ),
        (
            recipe(
                &json!({"graph": {"3": {"class_type": "KSampler", "inputs": {"seed": 15_555_555_555_555_555_000_u64}}}}),
            ),
            RecipeInvalid,
            "ImageRecipe portrait: node 3 (KSampler): seed is above 9223372036854775807 (2^63 - 1), and the API server has \
             rounded it; write it in quotes, as seeds up to 18446744073709551615 may be",
        ),
        (
            References { workflow: unmade(), ..recipe(&in_config_map) },
            RecipeInvalid,
            "ImageRecipe portrait: ConfigMap studio/flows does not exist (yet)",
        ),
        (
            References { workflow: Source::Found(b"{}".to_vec()), ..recipe(&in_config_map) },
            RecipeInvalid,
            "ImageRecipe portrait: ConfigMap studio/flows, key a.json: it has no nodes; ",
        ),
    ];
    for (references, reason, message) in table {
        let problem = validated(&from_recipe(&json!({"prompt": "a barn"})), &references).unwrap_err();
        assert_eq!((problem.reason, problem.course), (reason, Course::Waits));
        assert!(problem.message.starts_with(message), "{}", problem.message);
    }
}

#[test]
fn a_wrong_value_of_a_recipes_input_ends_the_job_and_the_input_is_named() {
    let table = [
        (json!({"prompt": "a barn", "steps": 60}), "inputs.steps: is 60; give a whole number from 1 to 50"),
        (json!({}), "inputs.prompt: it is required: give a text"),
        (json!({"prompt": "a barn at the sea"}), "inputs.prompt: has 17 characters; at most 12 are allowed"),
        (
            json!({"prompt": "a barn", "step": 6}),
            "inputs.step: the recipe has no such input; it has prompt, steps, seed; did you mean \"steps\"?",
        ),
    ];
    for (inputs, why) in table {
        let message = format!("spec.work.recipe.{why}");
        refused(
            &from_recipe(&inputs),
            &recipe(&json!({})),
            JobReason::WorkflowInvalid,
            Course::Ends,
            &message,
        );
    }
}

#[test]
fn an_input_of_a_type_that_a_newer_operator_knows_is_waited_for_if_it_is_given() {
    let prompt = json!({"name": "prompt", "type": "String", "to": ["6.text"]});
    let depth = json!({"name": "depth", "type": "DepthMap", "to": ["6.text"]});
    let seed = json!({"name": "seed", "type": "Seed", "to": ["3.seed"]});
    let newer = recipe(&json!({"inputs": [prompt, depth, seed], "unitsFrom": []}));
    let message =
        "spec.work.recipe.inputs.depth: this operator does not know an input of this type; a newer one does";
    let asks = from_recipe(&json!({"prompt": "a barn", "depth": 1}));
    refused(&asks, &newer, JobReason::WorkTypeUnknown, Course::Waits, message);
    assert!(validated(&from_recipe(&json!({"prompt": "a barn"})), &newer).is_ok());
}
