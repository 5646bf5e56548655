//! Jobs that wait for what others make or have.

use queue::{EngineFacts, EngineSeen};
use workflow::ObjectInfo;

use super::*;
use crate::engines::Engines;

#[tokio::test]
async fn a_job_that_no_engine_takes_waits_until_the_engines_have_something_else() {
    let mut desk = Desk::new();
    let (engines, seen) = watch::channel(Some(engine_with(&json!({}))));
    desk.keeper.engines = seen;
    desk.at_work(1);
    let labels = json!({"imagejob.dev/pool": "sd15", "imagejob.dev/capacity": "spot"});
    let worker = json!({"metadata": {"name": "w", "namespace": "studio", "uid": "w", "labels": labels}});
    desk.jobs.index.workers.see(serde_json::from_value(worker).unwrap());
    let uid = desk.see(&json!({}));
    let status = desk.write();
    let accepted = find_condition(&status.conditions, ConditionType::Accepted).unwrap();
    assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), ("False", "NotOnWorkers"));
    desk.written(uid);
    assert!(desk.orders.try_recv().is_err(), "nothing is queued");
    let names = ["CheckpointLoaderSimple", "CLIPTextEncode", "EmptyLatentImage", "KSampler", "VAEDecode"];
    let mut classes: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!({"output": ["*", "*", "*"]}))).collect();
    classes.insert("SaveImage".to_owned(), json!({"output_node": true}));
    engines.send_replace(Some(engine_with(&Value::Object(classes))));
    desk.says(JobAnswer::Engines);
    desk.jobs.take_changes();
    desk.queued(Enqueued::New);
}

/// An engine that is there, and has these node classes.
fn engine_with(classes: &Value) -> Arc<Engines> {
    let facts = EngineFacts {
        digest: "sha256:1".to_owned(),
        version: "0.33.0".to_owned(),
        template: String::new(),
        key: None,
        models: Vec::new(),
    };
    let seen = EngineSeen { facts: Arc::new(facts), seen_ms: 1, now_ms: 1 };
    let definitions = ObjectInfo::parse(classes.to_string().as_bytes()).unwrap();
    Arc::new(Engines::new(vec![(seen, Arc::new(definitions))], true, Timestamp::now()).unwrap())
}

#[tokio::test]
async fn a_job_that_waits_for_another_jobs_file_is_read_anew_as_soon_as_that_one_ends() {
    let mut desk = Desk::new();
    let beach = desk.accepted();
    let inputs = json!([{"name": "photo", "from": {"job": {"name": "lighthouse"}}}]);
    let image = json!({"type": "ImageToImage", "textToImage": null,
                       "imageToImage": {"model": "v1-5.safetensors", "prompt": "in oil", "image": "photo"}});
    let uid = desk.see(&json!({
        "metadata": {"name": "painted", "uid": "bbbbbbbb-0000-4000-8000-000000000000"},
        "spec": {"work": image, "inputs": inputs, "count": 1},
    }));
    let Question::Job { whole: Some(whole), .. } = desk.questions.try_recv().unwrap() else {
        panic!("another question")
    };
    let spec = whole.spec.clone();
    let message = "ImageJob studio/lighthouse has not made output 0 of image 0 yet".to_owned();
    let files = BTreeMap::from([("photo".to_owned(), Source::Missing { message })]);
    desk.jobs.found(Found::Job { uid, result: Ok(Box::new(Loaded { files, ..Loaded::alone(*whole) })) });
    assert_eq!(ready(&desk.write()), "InputNotFound");
    desk.written(uid);
    assert!(desk.questions.try_recv().is_err(), "nothing has changed");

    desk.jobs.index.jobs.mark(beach, Why::Turn);
    desk.jobs.take_changes();
    desk.looked(Some(made()));
    assert_eq!(ready(&desk.write()), "Completed");
    desk.written(beach);
    assert!(matches!(desk.order(), Order::Forget { job } if job == beach));
    let Question::Job { place, .. } = desk.questions.try_recv().expect("it is read anew at once") else {
        panic!("another question")
    };
    assert_eq!(place.uid, uid);
    let key = "generated/a.png".to_owned();
    let there = File::Object { pool: self::key(), key };
    let files = BTreeMap::from([("photo".to_owned(), Source::Found(there))]);
    let whole = Whole { labels: BTreeMap::new(), traceparent: None, spec };
    desk.jobs.found(Found::Job { uid, result: Ok(Box::new(Loaded { files, ..Loaded::alone(whole) })) });
    let job = desk.queued(Enqueued::New);
    let task: queue::TaskSpec = serde_json::from_slice(&job.payload).unwrap();
    assert_eq!(task.inputs.len(), 1);
    assert!(desk.jobs.awaiting.is_empty());
}
