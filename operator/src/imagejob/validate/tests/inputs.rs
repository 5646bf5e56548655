use queue::{InputKind, InputSource, TaskInput};

use super::*;
use crate::imagejob::inputs::File;

/// A job whose workflow loads the input `photo`.
fn of_photo(from: &Value) -> ImageJob {
    let graph = json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "photo"}},
        "3": {"class_type": "KSampler", "inputs": {"seed": 5}},
        "9": {"class_type": "SaveImage", "inputs": {}},
    });
    let mut job = workflow(&json!({"graph": graph}));
    job.spec.inputs = serde_json::from_value(json!([{"name": "photo", "from": from}])).unwrap();
    job
}

fn of_acme(from: &Value) -> ImageJob {
    let mut job = of_photo(from);
    job.spec.tenant = Some("acme".to_owned());
    job
}

/// A pool that allows these sources, and takes a job's word for its tenant.
fn allows(inputs: &Value) -> References {
    with_pool(json!({"spec": {"inputs": inputs, "fairness": {"tenancy": "Field"}}}))
}

fn with_file(file: Source<File>) -> References {
    References { files: BTreeMap::from([("photo".to_owned(), file)]), ..allows(&json!({"maxBytes": 9})) }
}

fn made_in(pool: &str) -> References {
    let pool = PoolKey::new("studio", pool);
    with_file(Source::Found(File::Object { pool, key: "generated/0.png".to_owned() }))
}

fn object(key: &str) -> Value {
    json!({"s3": {"key": key}})
}

fn url(url: &str) -> Value {
    json!({"url": url})
}

fn of_job() -> Value {
    json!({"job": {"name": "sketch"}})
}

fn in_config_map() -> Value {
    json!({"configMapKey": {"name": "photos", "key": "cat.png"}})
}

#[test]
fn workers_are_told_where_an_input_is_and_where_it_goes() {
    let cat = || with_file(Source::Found(File::Bytes(b"cat".to_vec())));
    let https = "https://cdn.example.com/cat.png";
    let hosts = allows(&json!({"hosts": ["*.example.com"]}));
    let prefixes = allows(&json!({"objectPrefixes": ["shared/", "uploads/{namespace}/{tenant}/"]}));
    let stored = |key: &str| InputSource::Object { key: key.to_owned() };
    let table = [
        (
            url(https),
            &hosts,
            InputSource::Url { url: https.to_owned(), hosts: vec!["*.example.com".to_owned()] },
        ),
        (object("shared/cat.png"), &prefixes, stored("shared/cat.png")),
        (object("uploads/studio/acme/cat.png"), &prefixes, stored("uploads/studio/acme/cat.png")),
        // Whatever the pool allows, a tenant has what it uploaded.
        (object("uploads/acme/cat.png"), &hosts, stored("uploads/acme/cat.png")),
        (in_config_map(), &cat(), InputSource::Inline { base64: "Y2F0".to_owned() }),
        (of_job(), &made_in("sd15"), stored("generated/0.png")),
    ];
    for (from, references, source) in table {
        let task = task_of(&accepted(&of_acme(&from), references));
        let max_bytes = references.pool.as_ref().unwrap().spec.inputs.max_bytes;
        let photo = TaskInput {
            name: "photo".to_owned(),
            source,
            sha256: None,
            kind: InputKind::Picture,
            to: vec!["1.image".to_owned()],
            max_bytes,
            max_pixels: None,
        };
        assert_eq!(task.inputs, [photo]);
    }
}

#[test]
fn an_input_that_can_t_be_had_is_waited_for_or_ends_the_job() {
    use Course::{Ends, Waits};
    use JobReason::{InputNotAllowed, InputNotFound, WorkTypeUnknown, WorkflowInvalid};
    let nothing = || allows(&json!({}));
    let prefixes = || allows(&json!({"objectPrefixes": ["uploads/{namespace}/{tenant}/"]}));
    let not_made = "ImageJob studio/sketch has not made output 0 of image 0 yet".to_owned();
    let large = Source::Found(File::Bytes(b"a large cat".to_vec()));
    let mut unused = of_acme(&url("https://cdn.example.com/cat.png"));
    unused.spec.work.workflow.as_mut().unwrap().graph.as_mut().unwrap().remove("1");
    let table = [
        (
            of_acme(&url("https://evil.example.net/cat.png")),
            allows(&json!({"hosts": ["*.example.com", "cats.example.org"]})),
            InputNotAllowed,
            Waits,
            "spec.inputs[photo]: the pool does not fetch from \"evil.example.net\"; it allows *.example.com, \
             cats.example.org (spec.inputs.hosts of the WorkerPool)",
        ),
        (
            of_acme(&url("https://cdn.example.com/cat.png")),
            nothing(),
            InputNotAllowed,
            Waits,
            "spec.inputs[photo]: the pool does not fetch from \"cdn.example.com\"; it allows none (spec.inputs.hosts of \
             the WorkerPool)",
        ),
        (
            of_acme(&object("uploads/studio/other/cat.png")),
            prefixes(),
            InputNotAllowed,
            Waits,
            "spec.inputs[photo]: the pool does not let jobs read the object \"uploads/studio/other/cat.png\"; it allows \
             the prefixes uploads/{namespace}/{tenant}/ (spec.inputs.objectPrefixes of the WorkerPool)",
        ),
        (
            of_acme(&object("uploads/other/cat.png")),
            nothing(),
            InputNotAllowed,
            Waits,
            "spec.inputs[photo]: the pool does not let jobs read the object \"uploads/other/cat.png\"; it allows \
             the prefixes none (spec.inputs.objectPrefixes of the WorkerPool)",
        ),
        (
            of_acme(&object("uploads/studio/acme/../other/cat.png")),
            prefixes(),
            InputNotAllowed,
            Waits,
            "spec.inputs[photo]: the pool does not let jobs read the object \"uploads/studio/acme/../other/cat.png\"; it \
             allows the prefixes uploads/{namespace}/{tenant}/ (spec.inputs.objectPrefixes of the WorkerPool)",
        ),
        (
            of_acme(&of_job()),
            made_in("sdxl"),
            InputNotAllowed,
            Waits,
            "spec.inputs[photo]: the other job used WorkerPool studio/sdxl; only files of the same pool can be read",
        ),
        (
            of_acme(&of_job()),
            with_file(Source::Missing { message: not_made }),
            InputNotFound,
            Waits,
            "spec.inputs[photo]: ImageJob studio/sketch has not made output 0 of image 0 yet",
        ),
        (
            of_acme(&in_config_map()),
            with_file(large),
            WorkflowInvalid,
            Ends,
            "spec.inputs[photo]: it has 11 bytes, and the pool takes at most 9",
        ),
        (
            of_acme(&json!({"torrent": "magnet:?cat"})),
            nothing(),
            WorkTypeUnknown,
            Waits,
            "spec.inputs[photo]: this operator does not know where it comes from; a newer one does",
        ),
        (
            unused,
            allows(&json!({"hosts": ["cdn.example.com"]})),
            WorkflowInvalid,
            Ends,
            "spec.inputs[photo]: the work does not use it; a node that loads a file takes its name, e.g. image: photo",
        ),
    ];
    for (job, references, reason, course, message) in table {
        refused(&job, &references, reason, course, message);
    }
}

#[test]
fn files_from_config_maps_that_are_too_large_for_the_queue_are_told_where_they_belong() {
    let of = |bytes: usize| References {
        files: BTreeMap::from([("photo".to_owned(), Source::Found(File::Bytes(vec![7; bytes])))]),
        ..references()
    };
    assert!(validated(&of_photo(&in_config_map()), &of(700 * 1024)).is_ok());
    let problem = validated(&of_photo(&in_config_map()), &of(800 * 1024)).unwrap_err();
    assert_eq!((problem.reason, problem.course), (JobReason::WorkflowInvalid, Course::Ends));
    let hint = "at most 1048576 can be queued, files from ConfigMaps in base64; larger ones belong into the bucket (from.s3)";
    assert!(problem.message.ends_with(hint), "{}", problem.message);
}

#[test]
fn an_input_that_was_allowed_once_stays_so() {
    for from in [url("https://cdn.example.com/cat.png"), object("uploads/cat.png")] {
        let mut job = of_photo(&from);
        job.status = serde_json::from_value(json!({"pool": pool_of("sd15")})).unwrap();
        assert!(validated(&job, &references()).is_ok(), "{from}");
    }
}

#[test]
fn an_image_is_made_from_the_inputs_that_it_names() {
    let source = |name: &str| json!({"name": name, "from": {"s3": {"key": format!("shared/{name}.png")}}});
    let control = json!({"model": "canny.safetensors", "image": "edges"});
    let asked = json!({"model": "v1-5.safetensors", "prompt": "a cat", "image": "photo", "mask": "mask",
                       "controlNets": [control]});
    let inputs = [source("photo"), source("mask"), source("edges")];
    let work = json!({"type": "ImageToImage", "textToImage": null, "imageToImage": asked});
    let with = |inputs: &[Value]| job_with(json!({"spec": {"inputs": inputs, "work": work}}));
    let references = with_pool(json!({"spec":
        {"inputs": {"objectPrefixes": ["shared/"]}, "limits": {"maxPixels": 1_000_000}}}));
    let accepted = accepted(&with(&inputs), &references);
    assert_eq!((accepted.job.work.as_str(), accepted.terms.segments), ("i:v1-5.safetensors", None));
    for input in task_of(&accepted).inputs {
        assert_eq!((input.kind, input.to.len()), (InputKind::Picture, 1), "{}", input.name);
        let limit = (input.name == "photo").then_some(1_000_000);
        assert_eq!(input.max_pixels, limit, "{}: the result is as large as the photo", input.name);
        let (node, name) = input.to[0].split_once('.').unwrap();
        let graph = task_of(&accepted).graph;
        assert_eq!(graph[node]["inputs"][name], json!(input.name), "where the file's name goes");
    }
    let problem = validated(&with(&inputs[..2]), &references).unwrap_err();
    assert_eq!((problem.reason, problem.course), (JobReason::WorkflowInvalid, Course::Ends));
    let says = "spec.work.imageToImage.controlNets[0].image: is \"edges\", which is no entry of the job's spec.inputs; \
                it has photo, mask";
    assert_eq!(problem.message, says);
}
