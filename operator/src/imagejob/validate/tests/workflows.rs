use super::*;

const CONFIG_MAP: &str = "ConfigMap studio/flows, key a.json";

fn from_config_map() -> ImageJob {
    workflow(&json!({"configMapRef": {"name": "flows", "key": "a.json"}}))
}

#[test]
fn a_workflow_that_is_not_there_or_none_is_waited_for() {
    use JobReason::{ConfigMapInvalid, ConfigMapNotFound};
    let missing = References { workflow: unmade(), ..references() };
    let message = "ConfigMap studio/flows does not exist (yet)";
    refused(&from_config_map(), &missing, ConfigMapNotFound, Course::Waits, message);
    for (text, why) in [
        ("{", "it is not JSON: EOF while parsing an object at line 1 column 1; "),
        ("[]", "it is an array, not an object of node id → node; "),
        ("{}", "it has no nodes; "),
        (r#"{"nodes": [], "links": []}"#, "this is the editor's own format"),
    ] {
        let problem = validated(&from_config_map(), &config_map(text)).unwrap_err();
        assert_eq!((problem.reason, problem.course), (ConfigMapInvalid, Course::Waits));
        assert!(problem.message.starts_with(&format!("{CONFIG_MAP}: {why}")), "{}", problem.message);
    }
}

#[test]
fn a_workflow_that_can_never_run_ends_with_what_is_wrong() {
    let huge = json!({"1": {"class_type": "Note", "inputs": {"text": "x".repeat(1024 * 1024)}}});
    let table = [
        (workflow(&json!({})), "give exactly one of graph or configMapRef"),
        (
            with_inputs(&json!({"text": "x"})),
            "spec.work.workflow.inputs[\"text\"]: write it as node.input, e.g. 6.text",
        ),
        (
            with_inputs(&json!({"99.text": "x"})),
            "spec.work.workflow.inputs[\"99.text\"]: the workflow has no node \"99\"",
        ),
        (
            with_inputs(&json!({"6.prompt": "x"})),
            "spec.work.workflow.inputs[\"6.prompt\"]: node 6 (CLIPTextEncode) has no input \"prompt\"; it has text",
        ),
        (
            with_graph(&json!({}), &json!({"outputs": ["99"]})),
            "spec.work.workflow.outputs: the workflow has no node \"99\"",
        ),
        (
            with_graph(&json!({}), &json!({"seedInputs": ["99.seed"]})),
            "spec.work.workflow.seedInputs[\"99.seed\"]: the workflow has no node \"99\"",
        ),
        (
            with_graph(&json!({"3": {"inputs": {"seed": 0.5}}}), &json!({})),
            "spec.work.workflow: node 3 (KSampler): seed is 0.5, not a whole number",
        ),
        (
            with_graph(
                &json!({"1": {"class_type": "LoadImage", "inputs": {"image": "/etc/passwd"}}}),
                &json!({}),
            ),
            "node 1 (LoadImage): image \"/etc/passwd\" is a path outside of the engine's input folder; give the file as \
             an input of the job and name that",
        ),
        (workflow(&json!({"graph": huge})), "the work has 1048686 bytes; at most 1048576 can be queued"),
    ];
    for (job, message) in table {
        refused(&job, &references(), JobReason::WorkflowInvalid, Course::Ends, message);
    }
    let editors_own = workflow(&json!({"graph": {"nodes": [], "links": [], "version": 0.4}}));
    let problem = validated(&editors_own, &references()).unwrap_err();
    let says = "spec.work.workflow.graph: this is the editor's own format";
    assert!(problem.message.starts_with(says), "{}", problem.message);
}

#[test]
fn a_job_makes_the_workflow_that_was_accepted_or_none() {
    let text = r#"{"1": {"class_type": "SaveImage", "inputs": {"filename_prefix": "a stone bridge"}}}"#;
    let first = accepted(&from_config_map(), &config_map(text));
    let mut job = from_config_map();
    let status = json!({"pool": pool_of("sd15"), "workflowDigest": first.terms.digest.unwrap()});
    job.status = serde_json::from_value(status).unwrap();
    assert!(validated(&job, &config_map(text)).is_ok());
    let pretty = text.replace(": ", ":   ");
    assert!(validated(&job, &config_map(&pretty)).is_ok(), "white space changes no workflow");
    let problem = validated(&job, &config_map(&text.replace("stone", "neon"))).unwrap_err();
    assert_eq!((problem.reason, problem.course), (JobReason::WorkflowChanged, Course::Ends));
}

#[test]
fn several_images_need_a_seed_unless_they_may_be_the_same() {
    let seedless = json!({"3": null});
    let several = of_images(4, with_graph(&seedless, &json!({})));
    let problem = validated(&several, &references()).unwrap_err();
    assert_eq!((problem.reason, problem.course), (JobReason::WorkflowInvalid, Course::Ends));
    let says =
        "spec.work.workflow: no seed of the workflow can be counted up, so all 4 images would be the same";
    assert!(problem.message.starts_with(says), "{}", problem.message);
    let mut same = several;
    same.spec.same_seed = true;
    let accepted_same = accepted(&same, &references());
    assert_eq!((task_of(&accepted_same).seeds, accepted_same.terms.seed), (vec![], None));
    assert!(validated(&with_graph(&seedless, &json!({})), &references()).is_ok(), "one image needs none");
}

#[test]
fn a_workflows_inputs_are_set_and_what_it_loads_is_its_model() {
    let job = with_inputs(&json!({"6.text": "a harbour", "4.ckpt_name": "turbo.safetensors"}));
    let accepted = accepted(&job, &references());
    assert_eq!((accepted.terms.seed, accepted.terms.segments), (Some(5), None));
    assert_eq!((accepted.job.units, accepted.job.unit_ms), (1.0, 20_000.0));
    assert_eq!(accepted.job.model, "turbo.safetensors", "after the inputs are set");
    let task = task_of(&accepted);
    assert_eq!(task.graph["6"]["inputs"]["text"], "a harbour");
    assert!(!task.black_is_wrong, "a workflow may make a mask");
}

#[test]
fn a_workflow_may_lie_in_a_config_map() {
    let text = r#"{"1": {"class_type": "SaveImage", "inputs": {}}}"#;
    let accepted = accepted(&from_config_map(), &config_map(text));
    assert_eq!(accepted.job.model, "", "it loads none");
    assert!(task_of(&accepted).graph.contains_key("1"));
}
