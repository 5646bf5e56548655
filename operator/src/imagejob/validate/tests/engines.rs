use std::time::Duration;

use workflow::ObjectInfo;

use super::*;

/// Of an engine with one checkpoint.
fn known(age: Option<Duration>) -> References {
    let definitions = json!({
        "KSampler": {
            "input": {"required": {
                "model": ["MODEL"], "seed": ["INT", {"min": 0}], "steps": ["INT", {"min": 1, "max": 10000}],
                "sampler_name": [["euler", "dpmpp_2m"]],
            }},
            "output": ["LATENT"],
        },
        "CheckpointLoaderSimple": {
            "input": {"required": {"ckpt_name": [["xl.safetensors", "sd15.safetensors"]]}},
            "output": ["MODEL", "CLIP", "VAE"],
        },
        "SaveLatent": {"input": {"required": {"samples": ["LATENT"]}}, "output": [], "output_node": true},
    });
    let definitions = Arc::new(ObjectInfo::parse(definitions.to_string().as_bytes()).unwrap());
    References { known: Some(Known { definitions, age }), ..references() }
}

fn graph_with(change: &Value) -> ImageJob {
    let mut graph = json!({
        "3": {"class_type": "KSampler",
              "inputs": {"seed": 5, "steps": 30, "sampler_name": "euler", "model": ["4", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "xl.safetensors"}},
        "9": {"class_type": "SaveLatent", "inputs": {"samples": ["3", 0]}},
    });
    json_patch::merge(&mut graph, change);
    workflow(&json!({"graph": graph}))
}

#[test]
fn what_no_worker_has_is_waited_for_with_the_nearest_names() {
    accepted(&graph_with(&json!({})), &known(None));
    for (change, says) in [
        (
            json!({"3": {"inputs": {"sampler_name": "dpmpp_2n"}}}),
            "no worker of the pool takes this: node 3 (KSampler): sampler_name is \"dpmpp_2n\", which is none of the 2 that \
             the engine has: \"euler\", \"dpmpp_2m\"; did you mean dpmpp_2m?",
        ),
        (
            json!({"4": {"inputs": {"ckpt_name": "xl.safetensor"}}}),
            "no worker of the pool takes this: node 4 (CheckpointLoaderSimple): ckpt_name is \"xl.safetensor\", which is \
             none of the 2 that the engine has: \"xl.safetensors\", \"sd15.safetensors\"; did you mean xl.safetensors?",
        ),
        (
            json!({"3": {"class_type": "KSamplr"}}),
            "no worker of the pool takes this: node 3: the engine has no node class \"KSamplr\"; did you mean KSampler?",
        ),
    ] {
        refused(&graph_with(&change), &known(None), JobReason::NotOnWorkers, Course::Waits, says);
    }
}

#[test]
fn what_an_engine_can_not_take_ends_the_job_before_it_is_queued() {
    let change = json!({"3": {"inputs": {"steps": null, "step": 30}}});
    refused(
        &graph_with(&change),
        &known(None),
        JobReason::WorkflowInvalid,
        Course::Ends,
        "node 3 (KSampler): steps is not given; it takes INT; \"step\" is given: did you mean \"steps\"?",
    );
}

#[test]
fn while_a_pool_has_no_workers_what_the_last_one_had_counts_and_its_age_is_told() {
    let hours_ago = known(Some(Duration::from_secs(45 * 60)));
    refused(
        &graph_with(&json!({"3": {"inputs": {"step": 30, "steps": null}}})),
        &hours_ago,
        JobReason::NotOnWorkers,
        Course::Waits,
        "the pool has no workers, and the last one, 45 min ago, did not take this: node 3 (KSampler): steps is not given; \
         it takes INT; \"step\" is given: did you mean \"steps\"?",
    );
    let circle = json!({"3": {"inputs": {"model": ["99", 0]}}});
    let problem = validated(&graph_with(&circle), &hours_ago).unwrap_err();
    assert_eq!(problem.course, Course::Ends, "no engine takes this: {}", problem.message);
}

#[test]
fn a_job_that_was_accepted_is_not_held_against_what_workers_have_now() {
    let mut job = graph_with(&json!({"4": {"inputs": {"ckpt_name": "gone.safetensors"}}}));
    let before = accepted(&job, &references());
    let status = json!({"pool": pool_of("sd15"), "workflowDigest": before.terms.digest.unwrap()});
    job.status = serde_json::from_value(status).unwrap();
    accepted(&job, &known(None));
}
