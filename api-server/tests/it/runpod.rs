//! RunPod's API of serverless endpoints.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crds::WorkOf;
use kube::ResourceExt as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{S3, S3Options, wait_for};

use crate::{
    clients::Shop,
    maker::PNG,
    rig::{PATIENCE, Rig, answer},
    webhooks::Receiver,
};

#[tokio::test]
async fn runpods_sdk_makes_pictures() {
    Shop::open().await.run("runpod_client.py").await;
}

fn path(what: &str) -> String {
    format!("/runpod/v2/sd15/{what}")
}

/// The job at its end.
async fn ended(shop: &Shop, id: &Value) -> Value {
    let status = path(&format!("status/{}", id.as_str().unwrap()));
    let ended = wait_for("the job's end", PATIENCE, async || {
        let job = answer(shop.get(&status)).await.json;
        (!matches!(job["status"].as_str().unwrap(), "IN_QUEUE" | "IN_PROGRESS")).then_some(job)
    });
    ended.await.unwrap()
}

#[tokio::test]
async fn a_job_runs_and_its_output_holds_the_pictures() {
    let shop = Shop::open().await;
    let input = json!({"prompt": "a cat", "negative_prompt": "dogs", "width": 512, "height": 768, "steps": 12, "cfg": 6.5,
        "seed": 7, "model": "sd15", "num_images": 2, "colour": "red"});
    let body = json!({"input": input, "webhook": "https://example.com/hook", "policy": {"executionTimeout": 5500, "ttl": 86400000}});
    // A bare key, and a body that says that it is a form.
    let begun = shop
        .rig
        .post(&shop.replica, &path("run"), "")
        .header("content-type", "application/x-www-form-urlencoded");
    let begun = begun.header("x-api-key", &shop.key).body(body.to_string());
    let begun = answer(begun).await;
    assert_eq!((begun.status, &begun.json["status"]), (StatusCode::OK, &json!("IN_QUEUE")), "{begun:?}");
    assert_eq!(begun.header("x-imagejob-ignored"), Some("colour"));
    let job = ended(&shop, &begun.json["id"]).await;
    assert_eq!((&job["status"], &job["id"]), (&json!("COMPLETED"), &begun.json["id"]));
    assert!(job["delayTime"].is_u64() && job["executionTime"].is_u64(), "{job}");
    let images = job["output"]["images"].as_array().unwrap();
    assert_eq!((images.len(), &images[0]["type"]), (2, &json!("base64")));
    assert_eq!(images[1]["filename"], "ComfyUI_00001.png");
    assert!(STANDARD.decode(images[0]["data"].as_str().unwrap()).unwrap().starts_with(b"\x89PNG"));

    let job = shop.jobs().await.remove(0);
    let Ok(WorkOf::TextToImage(work)) = job.spec.work.of_type() else { panic!("{job:?}") };
    let sampling = &work.sampling;
    assert_eq!((&*sampling.model, sampling.steps, sampling.seed), ("sd15.safetensors", Some(12), Some(7)));
    assert_eq!((work.width, work.height, job.spec.count), (Some(512), Some(768), 2));
    assert_eq!((job.spec.timeout_seconds, job.spec.due_within_seconds), (6, None));
    assert_eq!(job.spec.pool_ref.as_ref().unwrap().name, "sd15");
    assert_eq!(job.labels()["imagejob.dev/front"], "runpod");
    let kept: Value = serde_json::from_str(&job.annotations()["imagejob.dev/request"]).unwrap();
    assert_eq!(kept["webhook"]["url"], "https://example.com/hook");
}

#[tokio::test]
async fn a_workflow_runs_as_it_is() {
    let shop = Shop::open().await;
    let graph = json!({"3": {"class_type": "KSampler", "inputs": {"seed": 5}}, "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}}});
    let run = answer(shop.post(&path("runsync"), &json!({"input": {"workflow": graph}}))).await;
    assert_eq!(run.json["status"], "COMPLETED", "{run:?}");
    assert_eq!(run.json["output"]["images"].as_array().unwrap().len(), 1);
    let job = shop.jobs().await.remove(0);
    let Ok(WorkOf::Workflow(work)) = job.spec.work.of_type() else { panic!("{job:?}") };
    assert_eq!(Value::Object(work.graph.clone().unwrap()), graph);
    let mut large = graph.clone();
    large["3"]["inputs"]["seed"] = json!(u64::MAX);
    let refused = answer(shop.post(&path("run"), &json!({"input": {"workflow": large}}))).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.json["error"].as_str().unwrap().contains("/input/workflow/3"), "{refused:?}");
}

#[tokio::test]
async fn a_workflow_starts_from_pictures_of_the_request() {
    let shop = Shop::open().await;
    let graph = json!({"1": {"class_type": "LoadImage", "inputs": {"image": "cat.png"}}, "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}});
    let image = STANDARD.encode(PNG);
    let images = json!([{"name": "cat.png", "image": format!("data:image/png;base64,{image}")}]);
    let run =
        answer(shop.post(&path("runsync"), &json!({"input": {"workflow": graph, "images": images}}))).await;
    assert_eq!(run.json["status"], "COMPLETED", "{run:?}");
    let job = shop.jobs().await.remove(0);
    let Ok(WorkOf::Workflow(work)) = job.spec.work.of_type() else { panic!("{job:?}") };
    assert_eq!(work.graph.as_ref().unwrap()["1"]["inputs"]["image"], "image-0");
    assert_eq!(shop.input(&job, "image-0").await, PNG);
    for images in
        [json!("cat.png"), json!([{"name": "cat.png"}]), json!([{"name": "cat.png", "image": "no base64!"}])]
    {
        let body = json!({"input": {"workflow": graph, "images": images}});
        assert_eq!(answer(shop.post(&path("run"), &body)).await.status, StatusCode::BAD_REQUEST, "{images}");
    }
}

#[tokio::test]
async fn a_webhook_gets_the_status_with_urls() {
    let shop = Shop::open().await;
    let receiver = Receiver::start([]).await;
    let body = |prompt: &str| json!({"input": {"prompt": prompt}, "webhook": receiver.url()});
    let run = answer(shop.post(&path("runsync"), &body("a cat"))).await.json;
    let told = receiver.gets(1).await.remove(0).json();
    assert_eq!((&told["id"], &told["status"]), (&run["id"], &json!("COMPLETED")), "{told}");
    let image = &told["output"]["images"][0];
    assert_eq!((&image["filename"], &image["type"]), (&json!("ComfyUI_00000.png"), &json!("s3_url")));
    let picture = reqwest::get(image["data"].as_str().unwrap()).await.unwrap().bytes().await.unwrap();
    assert_eq!(&*picture, PNG);
    let failed = answer(shop.post(&path("runsync"), &body("fail"))).await.json;
    let told = receiver.gets(2).await.remove(1).json();
    assert_eq!(
        (&told["id"], &told["status"], &told["error"]),
        (&failed["id"], &json!("FAILED"), &failed["error"])
    );
}

#[tokio::test]
async fn a_synchronous_run_waits_as_long_as_it_is_told() {
    let shop = Shop::open_for(json!({}), Duration::from_secs(3)).await;
    let body = json!({"input": {"prompt": "a cat"}});
    let began = Instant::now();
    let run = answer(shop.post(&path("runsync?wait=1000"), &body)).await;
    assert_eq!((run.status, &run.json["status"]), (StatusCode::OK, &json!("IN_PROGRESS")), "{run:?}");
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(ended(&shop, &run.json["id"]).await["status"], "COMPLETED");
    let whole = answer(shop.post(&path("runsync"), &body)).await;
    assert_eq!(whole.json["status"], "COMPLETED", "{whole:?}");
}

#[tokio::test]
async fn each_chunk_of_a_stream_is_told_once_by_whichever_replica() {
    let shop = Shop::open().await;
    let run =
        answer(shop.post(&path("runsync"), &json!({"input": {"prompt": "a cat", "num_images": 2}}))).await;
    let stream = path(&format!("stream/{}", run.json["id"].as_str().unwrap()));
    let other = shop.rig.replica_at_home().await;
    let first = answer(shop.get(&stream)).await.json;
    assert_eq!(first["status"], "COMPLETED");
    let chunks = first["stream"].as_array().unwrap();
    assert_eq!(chunks.len(), 2, "{first}");
    assert_eq!(chunks[1]["output"]["images"][0]["filename"], "ComfyUI_00001.png");
    for replica in [&shop.replica, &other] {
        let next = answer(shop.rig.get(replica, &stream, &shop.key)).await.json;
        assert_eq!(next, json!({"status": "COMPLETED", "stream": []}));
    }
    let failed = answer(shop.post(&path("runsync"), &json!({"input": {"prompt": "fail"}}))).await.json;
    assert_eq!((&failed["status"], failed["error"].is_string()), (&json!("FAILED"), true), "{failed}");
    let stream = path(&format!("stream/{}", failed["id"].as_str().unwrap()));
    assert_eq!(answer(shop.get(&stream)).await.json, json!({"status": "FAILED", "stream": []}));
}

#[tokio::test]
async fn states_are_told_in_runpods_words() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    rig.pool("sd15", &s3, |_| ()).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let body = json!({"input": {"prompt": "a cat", "model": "sd15.safetensors"}});
    let run = answer(rig.post(&replica, &path("run"), &key).json(&body)).await.json;
    let id = run["id"].as_str().unwrap();
    let becomes = async |what: &str, state: &str| {
        let path = path(&format!("{what}/{id}"));
        wait_for(state, PATIENCE, async || {
            let job = answer(rig.get(&replica, &path, &key)).await.json;
            (job["status"] == state).then_some(job)
        })
        .await
        .unwrap()
    };
    becomes("status", "IN_QUEUE").await;
    let times = json!({"startTime": "2026-01-01T00:00:01Z"});
    rig.say(id, &[("Ready", "Running")], times).await;
    becomes("status", "IN_PROGRESS").await;
    let failure = |reason: &str| {
        json!({"failures": [{"index": 0, "reason": reason, "message": "it took too long", "attempts": 3}],
        "completionTime": "2026-01-01T00:00:03Z"})
    };
    rig.say(id, &[("Ready", "ImagesFailed"), ("Failed", "ImagesFailed")], failure("Timeout")).await;
    let timed_out = becomes("status", "TIMED_OUT").await;
    assert_eq!(
        (&timed_out["executionTime"], &timed_out["error"]),
        (&json!(2000), &json!("it took too long"))
    );
    rig.say(id, &[("Ready", "ImagesFailed"), ("Failed", "ImagesFailed")], failure("NodeFailed")).await;
    becomes("status", "FAILED").await;
    rig.say(id, &[("Ready", "Cancelled"), ("Failed", "Cancelled")], json!({})).await;
    becomes("status", "CANCELLED").await;
    // The SDK would ask for ever.
    becomes("stream", "FAILED").await;
}

#[tokio::test]
async fn jobs_are_cancelled_tried_again_and_purged() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    rig.pool("sd15", &s3, |_| ()).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let body = json!({"input": {"prompt": "a cat", "model": "sd15.safetensors"}, "webhook": "https://example.com/hook"});
    let run = async || {
        let run = answer(rig.post(&replica, &path("run"), &key).json(&body)).await;
        let id = run.json["id"].as_str().unwrap_or_else(|| panic!("{run:?}")).to_owned();
        wait_for("it to be seen", PATIENCE, async || {
            let listed = answer(rig.get(&replica, "/v1/jobs", &key)).await;
            listed.json["jobs"].as_array()?.iter().any(|job| job["id"] == *id).then_some(())
        })
        .await
        .unwrap();
        id
    };
    let post = async |what: &str| answer(rig.post(&replica, &path(what), &key)).await;
    let (first, second) = (run().await, run().await);
    let cancelled = post(&format!("cancel/{first}")).await;
    assert_eq!(
        (cancelled.status, cancelled.json),
        (StatusCode::OK, json!({"id": first, "status": "CANCELLED"}))
    );
    assert!(rig.jobs().get(&first).await.unwrap().spec.cancel);

    // Only what has failed is tried again.
    assert_eq!(post(&format!("retry/{second}")).await.status, StatusCode::BAD_REQUEST);
    rig.say(&second, &[("Ready", "ImagesFailed"), ("Failed", "ImagesFailed")], json!({"tenant": "acme"}))
        .await;
    let before = rig.jobs().get(&second).await.unwrap();
    let again = wait_for("its failure to be seen", PATIENCE, async || {
        let again = post(&format!("retry/{second}")).await;
        (again.status == StatusCode::OK).then_some(again)
    });
    assert_eq!(again.await.unwrap().json, json!({"id": second, "status": "IN_QUEUE"}));
    let after = rig.jobs().get(&second).await.unwrap();
    assert_ne!(after.uid(), before.uid());
    assert_eq!(after.spec, before.spec);
    assert!(after.annotations()["imagejob.dev/request"].contains("https://example.com/hook"));

    // Jobs of other fronts and jobs that run stay.
    let (third, running) = (run().await, run().await);
    rig.say(&running, &[("Ready", "Running")], json!({})).await;
    let own = answer(rig.post(&replica, "/v1/jobs", &key).json(&crate::rig::picture("a dog"))).await.json;
    wait_for("all to be seen", PATIENCE, async || {
        let health = answer(rig.get(&replica, &path("health"), &key)).await.json;
        (health["jobs"]["inProgress"] == 1 && health["jobs"]["inQueue"] == 2).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(post("purge-queue").await.json, json!({"removed": 2, "status": "completed"}));
    for (id, cancelled) in
        [(&*third, true), (&*second, true), (&*running, false), (own["id"].as_str().unwrap(), false)]
    {
        assert_eq!(rig.jobs().get(id).await.unwrap().spec.cancel, cancelled, "{id}");
    }
}

#[tokio::test]
async fn an_endpoint_is_a_pool_that_the_tenant_may_use() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    let fleet = json!({"name": "spot", "type": "Spot", "total": 6, "starting": 1, "idle": 2, "busy": 3, "draining": 0});
    rig.pool("sd15", &s3, |pool| pool["status"] = json!({"fleets": [fleet]})).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let bound = rig.tenant_with_key("bound", json!({"pools": [{"name": "other"}]})).await;
    let replica = rig.replica().await;
    let health =
        async |id: &str, key: &str| answer(rig.get(&replica, &format!("/runpod/v2/{id}/health"), key)).await;
    let seen = health("sd15", &key).await;
    assert_eq!(
        seen.json,
        json!({"jobs": {"completed": 0, "failed": 0, "inProgress": 0, "inQueue": 0, "retried": 0},
            "workers": {"idle": 2, "running": 3, "initializing": 1}})
    );
    assert_eq!(health(&format!("{}--sd15", rig.studio), &key).await.status, StatusCode::OK);
    for (id, key, status) in [
        ("other", &*key, StatusCode::NOT_FOUND),
        ("sd15", &bound, StatusCode::NOT_FOUND),
        ("sd15", "ij_unknown", StatusCode::UNAUTHORIZED),
    ] {
        let refused = health(id, key).await;
        assert_eq!((refused.status, refused.json["error"].is_string()), (status, true), "{id}: {refused:?}");
    }
    for body in [
        json!({}),
        json!({"input": {}}),
        json!({"input": {"prompt": ""}}),
        json!({"input": {"workflow": []}}),
        json!({"input": {"prompt": "a cat", "model": "sd15.safetensors", "num_images": 0}}),
        json!({"input": {"prompt": "a cat", "model": "sd15.safetensors", "width": 100}}),
        json!({"input": {"prompt": "a cat", "model": "sd15.safetensors"}, "webhook": "file:///etc/passwd"}),
    ] {
        let refused = answer(rig.post(&replica, &path("run"), &key).json(&body)).await;
        assert_eq!(
            (refused.status, refused.json["error"].is_string()),
            (StatusCode::BAD_REQUEST, true),
            "{body}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_job_of_another_tenant_or_endpoint_does_not_exist() {
    let shop = Shop::open().await;
    let run = answer(shop.post(&path("runsync"), &json!({"input": {"prompt": "a cat"}}))).await.json;
    let id = run["id"].as_str().unwrap();
    let other = shop.rig.tenant_with_key("other", json!({})).await;
    wait_for("the key to be known", PATIENCE, async || {
        let health = answer(shop.rig.get(&shop.replica, &path("health"), &other)).await;
        (health.status == StatusCode::OK).then_some(())
    })
    .await
    .unwrap();
    let unknown =
        answer(shop.rig.get(&shop.replica, &path(&format!("status/{}", "0".repeat(36))), &other)).await;
    for what in ["status", "stream"] {
        let refused = answer(shop.rig.get(&shop.replica, &path(&format!("{what}/{id}")), &other)).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND);
        let told = |answer: &Value, id: &str| answer["error"].as_str().unwrap().replace(id, "ID");
        assert_eq!(told(&refused.json, id), told(&unknown.json, &"0".repeat(36)));
    }
    for what in ["cancel", "retry"] {
        let refused = answer(shop.rig.post(&shop.replica, &path(&format!("{what}/{id}")), &other)).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{what}");
    }
    let s3 = S3::start(S3Options::default()).await.unwrap();
    shop.rig.pool("second", &s3, |pool| pool["spec"]["default"] = json!(false)).await;
    let elsewhere = format!("/runpod/v2/second/status/{id}");
    wait_for("the pool to be known", PATIENCE, async || {
        let health = answer(shop.get("/runpod/v2/second/health")).await;
        (health.status == StatusCode::OK).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(answer(shop.get(&elsewhere)).await.status, StatusCode::NOT_FOUND);
}
