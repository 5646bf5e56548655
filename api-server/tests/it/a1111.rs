//! The API of A1111's web UI.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crds::WorkOf;
use kube::{ResourceExt as _, api::ListParams};
use queue::{JobUid, NodeProgress};
use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{S3, S3Options, wait_for};

use crate::{
    clients::Shop,
    events::{begin, tell},
    maker::PNG,
    rig::{PATIENCE, Rig, answer},
};

const TXT2IMG: &str = "/sdapi/v1/txt2img";

#[tokio::test]
async fn webuiapi_makes_pictures() {
    Shop::open().await.run("webuiapi_client.py").await;
}

#[tokio::test]
async fn a_request_becomes_a_job_and_its_pictures_the_answer() {
    let shop = Shop::open().await;
    let body = json!({
        "prompt": "a cat", "negative_prompt": "dogs", "seed": 7, "steps": 12, "cfg_scale": 6.5, "width": 512, "height": 768,
        "batch_size": 2, "n_iter": 1, "sampler_name": "DPM++ 2M Karras", "sampler_index": "Euler", "scheduler": "Automatic",
        "override_settings": {"sd_model_checkpoint": "sd15"}, "eta": 0.5, "hr_scale": 2, "alwayson_scripts": {},
    });
    // SillyTavern sends the key as a password, node calls the body a text.
    let made =
        answer(shop.post(TXT2IMG, &json!({})).header("content-type", "text/plain").body(body.to_string()))
            .await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    let images = made.json["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    assert!(STANDARD.decode(images[0].as_str().unwrap()).unwrap().starts_with(b"\x89PNG"));
    assert_eq!(made.json["parameters"], body);
    assert_eq!(made.header("x-imagejob-ignored"), Some("eta"));
    let info: Value = serde_json::from_str(made.json["info"].as_str().unwrap()).unwrap();
    assert_eq!((&info["seed"], &info["all_seeds"]), (&json!(42), &json!([42, 43])));
    let text = "a cat\nNegative prompt: dogs\nSteps: 12, Sampler: DPM++ 2M Karras, CFG scale: 6.5, Seed: 43, Size: 1x1, Model: sd15";
    assert_eq!(info["infotexts"][1], text);

    let job = shop.jobs().await.remove(0);
    let Ok(WorkOf::TextToImage(work)) = job.spec.work.of_type() else { panic!("{job:?}") };
    let sampling = &work.sampling;
    assert_eq!((&*sampling.model, &*sampling.prompt), ("sd15.safetensors", "a cat"));
    assert_eq!((&*sampling.negative_prompt, sampling.steps, sampling.seed), ("dogs", Some(12), Some(7)));
    assert_eq!(
        (sampling.sampler.as_deref(), sampling.scheduler.as_deref()),
        (Some("dpmpp_2m"), Some("karras"))
    );
    assert_eq!((work.width, work.height, job.spec.count), (Some(512), Some(768), 2));
    assert_eq!(job.labels()["imagejob.dev/front"], "a1111");

    let without = answer(shop.post(TXT2IMG, &json!({"prompt": "a cat", "send_images": false}))).await;
    assert_eq!((without.status, &without.json["images"]), (StatusCode::OK, &json!([])));
}

#[tokio::test]
async fn a_picture_may_be_started_from() {
    let shop = Shop::open().await;
    let (image, url) = (STANDARD.encode(PNG), format!("data:image/png;base64,{}", STANDARD.encode(PNG)));
    let body = json!({"init_images": [url], "mask": image, "denoising_strength": 0.5, "prompt": "a hat", "seed": -1, "width": 512,
        "height": 512, "mask_blur": 4, "inpainting_mask_invert": 0});
    let made = answer(shop.post("/sdapi/v1/img2img", &body)).await;
    assert_eq!(
        (made.status, made.json["images"].as_array().map(Vec::len)),
        (StatusCode::OK, Some(1)),
        "{made:?}"
    );
    assert_eq!(
        (&made.json["parameters"]["init_images"], &made.json["parameters"]["prompt"]),
        (&Value::Null, &json!("a hat"))
    );
    let job = shop.jobs().await.remove(0);
    let Ok(WorkOf::ImageToImage(work)) = job.spec.work.of_type() else { panic!("{job:?}") };
    assert_eq!((&*work.sampling.prompt, &*work.strength.to_string()), ("a hat", "0.5"));
    for name in [&work.image, work.mask.as_ref().unwrap()] {
        assert_eq!(shop.input(&job, name).await, PNG);
    }
    for body in [
        json!({"prompt": "a hat"}),
        json!({"prompt": "a hat", "init_images": []}),
        json!({"prompt": "a hat", "init_images": ["no base64!"]}),
        json!({"prompt": "a hat", "init_images": [image, image]}),
        json!({"prompt": "a hat", "init_images": [image], "mask": image, "inpainting_mask_invert": 1}),
    ] {
        let refused = answer(shop.post("/sdapi/v1/img2img", &body)).await;
        assert_eq!((refused.status.as_u16(), refused.json["detail"].is_string()), (422, true), "{refused:?}");
    }
}

#[tokio::test]
async fn refusals_have_a_detail() {
    let shop = Shop::open().await;
    for (body, status) in [
        (json!({"prompt": "a cat", "enable_hr": true}), 422),
        (json!({"prompt": "a cat", "alwayson_scripts": {"ControlNet": {"args": []}}}), 422),
        (json!({"prompt": "a cat", "script_name": "x/y/z plot"}), 422),
        (json!({"prompt": "a cat", "restore_faces": true}), 422),
        (json!({"prompt": "a cat", "tiling": true}), 422),
        (json!({"prompt": "a cat", "batch_size": 99}), 422),
        (json!({"prompt": "a cat", "width": 100}), 422),
        (json!({"prompt": "a cat", "override_settings": {"sd_model_checkpoint": "flux"}}), 422),
        (json!({"prompt": "fail"}), 500),
    ] {
        let refused = answer(shop.post(TXT2IMG, &body)).await;
        assert_eq!(refused.status.as_u16(), status, "{body}: {refused:?}");
        assert!(refused.json["detail"].is_string(), "{refused:?}");
    }
    let nobody = answer(shop.rig.post(&shop.replica, TXT2IMG, "").json(&json!({"prompt": "a cat"}))).await;
    assert_eq!(
        (nobody.status, nobody.header("www-authenticate")),
        (StatusCode::UNAUTHORIZED, Some("Basic realm=\"imagejob\""))
    );
    let by_password = reqwest::Client::new()
        .get(format!("http://{}/sdapi/v1/options", shop.replica.address))
        .basic_auth("anybody", Some(&shop.key));
    assert_eq!(answer(by_password).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_there_is_to_choose_from_is_listed() {
    let shop = Shop::open().await;
    let get = async |what: &str| {
        let listed = answer(shop.get(&format!("/sdapi/v1/{what}"))).await;
        assert_eq!(listed.status, StatusCode::OK, "{what}");
        listed.json
    };
    assert_eq!(
        get("options").await,
        json!({"sd_model_checkpoint": "sd15.safetensors", "samples_format": "png"})
    );
    let set = answer(shop.post("/sdapi/v1/options", &json!({"sd_model_checkpoint": "other"}))).await;
    assert_eq!(set.status, StatusCode::OK);
    assert_eq!(
        get("sd-models").await,
        json!([{"title": "sd15.safetensors", "model_name": "sd15", "filename": "sd15.safetensors", "hash": null, "sha256": null, "config": null}])
    );
    let samplers = get("samplers").await;
    assert_eq!(samplers[0], json!({"name": "Euler a", "aliases": ["euler_ancestral"], "options": {}}));
    assert_eq!(samplers.as_array().unwrap().len(), 10);
    let schedulers = get("schedulers").await;
    assert_eq!((&schedulers[0]["name"], &schedulers[2]["label"]), (&json!("automatic"), &json!("Karras")));
    assert_eq!(get("scripts").await, json!({"txt2img": [], "img2img": []}));
    for list in ["loras", "upscalers", "latent-upscale-modes", "sd-vae", "prompt-styles"] {
        assert_eq!(get(list).await, json!([]), "{list}");
    }
    assert_eq!(get("cmd-flags").await, json!({}));
    assert!(get("embeddings").await["loaded"].is_object());
}

#[tokio::test]
async fn a_key_sees_how_far_its_pictures_are_and_interrupts_them() {
    let rig = Rig::start().await;
    let s3 = S3::start(S3Options::default()).await.unwrap();
    rig.pool("sd15", &s3, |_| ()).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let colleague = rig.key(&["--tenant", "acme"]).await;
    let replica = rig.replica().await;
    let progress = async |key: &str| answer(rig.get(&replica, "/sdapi/v1/progress", key)).await.json;
    let idle = progress(&key).await;
    assert_eq!((&idle["progress"], &idle["state"]["job_count"]), (&json!(0.0), &json!(0)), "{idle}");
    assert_eq!((&idle["eta_relative"], &idle["current_image"]), (&json!(0), &Value::Null));

    let body = json!({"prompt": "a cat", "override_settings": {"sd_model_checkpoint": "sd15.safetensors"}});
    let waiting = tokio::spawn(answer(rig.post(&replica, TXT2IMG, &key).json(&body)));
    let job = wait_for("the job", PATIENCE, async || {
        rig.jobs().list(&ListParams::default()).await.ok()?.items.into_iter().next()
    });
    let job = job.await.unwrap();
    let id = job.name_any();
    rig.say(&id, &[("Ready", "Running")], rig.output("sd15", &s3)).await;
    let (queue, uid) = (rig.queue("sd15").await, JobUid(job.uid().unwrap()));
    begin(&queue, &uid).await;
    tell(&queue, &uid, (10, 20), NodeProgress { done: 0, total: 1, running: None }).await;
    let seen = wait_for("progress", PATIENCE, async || {
        let seen = progress(&key).await;
        (seen["state"]["sampling_step"] == 10).then_some(seen)
    });
    let seen = seen.await.unwrap();
    assert_eq!((&seen["progress"], &seen["state"]["sampling_steps"]), (&json!(0.5), &json!(20)), "{seen}");
    assert_eq!(seen["state"]["job_count"], 1);
    assert_eq!(progress(&colleague).await["state"]["job_count"], 0);

    // Another key of the tenant interrupts nothing of this one.
    for (key, cancelled) in [(&colleague, false), (&key, true)] {
        let interrupted = answer(rig.post(&replica, "/sdapi/v1/interrupt", key)).await;
        assert_eq!((interrupted.status, interrupted.json), (StatusCode::OK, json!({})));
        assert_eq!(rig.jobs().get(&id).await.unwrap().spec.cancel, cancelled);
    }
    assert_eq!(answer(rig.post(&replica, "/sdapi/v1/skip", &key)).await.status, StatusCode::OK);
    rig.say(&id, &[("Ready", "Cancelled"), ("Failed", "Cancelled")], json!({})).await;
    let interrupted = waiting.await.unwrap();
    assert_eq!((interrupted.status, &interrupted.json["images"]), (StatusCode::OK, &json!([])));
    wait_for("nothing to run", Duration::from_secs(5), async || {
        (progress(&key).await["state"]["job_count"] == 0).then_some(())
    })
    .await
    .unwrap();
}
