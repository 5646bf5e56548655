//! `/object_info`, `/models` and what else ComfyUI tells of itself.

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{S3, S3Options, wait_for};

use super::{get, graph, post};
use crate::{
    engine::{definitions, pool_with_workers},
    rig::{PATIENCE, Rig},
};

#[tokio::test]
async fn node_classes_are_the_engines_with_the_models_that_the_tenant_may_use() {
    let rig = Rig::start().await;
    let mut s3 = S3::start(S3Options::default()).await.unwrap();
    let wide = rig.tenant_with_key("wide", json!({})).await;
    let narrow = rig.tenant_with_key("narrow", json!({"models": ["sd15*"]})).await;
    let replica = rig.replica().await;
    let seen = async |path: &str, key: &str| {
        let answer = get(&rig, &replica, path, key).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        answer.json
    };
    let checkpoints = "/object_info/CheckpointLoaderSimple";
    let names = |info: &Value| info["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0].clone();
    // Before there is a pool, and before a worker has told.
    let usual = seen("/object_info", &wide).await;
    for class in ["KSampler", "CheckpointLoaderSimple", "UNETLoader", "VAELoader"] {
        assert!(usual[class]["input"]["required"].is_object(), "{class}");
    }
    assert_eq!(names(&usual), json!([]));

    pool_with_workers(&rig, &s3).await;
    wait_for("the engine", PATIENCE, async || {
        (names(&seen(checkpoints, &wide).await) == json!(["sd15.safetensors", "secret.safetensors"]))
            .then_some(())
    })
    .await
    .unwrap();
    let all = seen("/api/object_info", &wide).await;
    assert_eq!(all["KSampler"], definitions()["KSampler"]);
    assert!(all["UNETLoader"].is_object() && all["SaveImage"].is_object());
    let of_narrow = seen("/object_info", &narrow).await;
    assert_eq!(names(&of_narrow), json!(["sd15.safetensors"]));
    assert_eq!(
        of_narrow["LoraLoader"]["input"]["required"]["lora_name"][1]["options"],
        json!(["sd15-b.safetensors"])
    );
    assert_eq!(of_narrow["KSampler"], all["KSampler"]);
    assert!(!of_narrow.to_string().contains("secret"));
    assert_eq!(seen("/object_info/Unknown", &wide).await, json!({}));

    assert_eq!(seen("/models/checkpoints", &narrow).await, json!(["sd15.safetensors"]));
    assert_eq!(seen("/models/loras", &wide).await, json!(["a.safetensors", "sd15-b.safetensors"]));
    assert_eq!(seen("/models/vae", &wide).await, json!([]));
    assert!(seen("/models", &wide).await.as_array().unwrap().contains(&json!("checkpoints")));
    assert_eq!(get(&rig, &replica, "/models/custom_nodes", &wide).await.status, StatusCode::NOT_FOUND);
    assert_eq!(seen("/system_stats", &wide).await["system"]["comfyui_version"], "0.3.70");

    // A prompt that the workers would refuse is refused at once.
    let mut wrong = graph("a cat");
    wrong["3"]["inputs"]["sampler_name"] = json!("even");
    let refused = post(&rig, &replica, "/prompt", &wide, &json!({"prompt": wrong})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.json["node_errors"]["3"]["errors"][0]["type"], "value_not_in_list", "{refused:?}");
    let fits = post(&rig, &replica, "/prompt", &wide, &json!({"prompt": graph("a cat")})).await;
    assert_eq!(fits.status, StatusCode::OK, "{fits:?}");

    // A pool's own URL.
    let below = format!("/pools/{}/sd15/object_info/KSampler", rig.studio);
    assert_eq!(seen(&below, &wide).await["KSampler"], all["KSampler"]);
    let no_pool = format!("/pools/{}/other/object_info", rig.studio);
    assert_eq!(get(&rig, &replica, &no_pool, &wide).await.status, StatusCode::NOT_FOUND);

    // Another replica, while the bucket is away: it says so, and takes prompts.
    s3.stop();
    let second = rig.replica().await;
    let away = get(&rig, &second, "/object_info", &wide).await;
    assert_eq!(
        (away.status, &away.json["error"]["type"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable"))
    );
    let taken = post(&rig, &second, "/prompt", &wide, &json!({"prompt": graph("a cat")})).await;
    assert_eq!(taken.status, StatusCode::OK, "{taken:?}");
}

#[tokio::test]
async fn what_is_not_about_prompts_has_plausible_answers() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    for prefix in ["", "/api"] {
        let get = async |path: &str| get(&rig, &replica, &format!("{prefix}{path}"), &key).await;
        let stats = get("/system_stats").await.json;
        assert!(stats["system"]["comfyui_version"].is_string(), "{stats}");
        assert_eq!(stats["devices"].as_array().unwrap().len(), 1);
        assert!(stats["devices"][0]["vram_total"].is_u64());
        assert_eq!((get("/extensions").await.json, get("/embeddings").await.json), (json!([]), json!([])));
        assert_eq!(get("/features").await.json["supports_preview_metadata"], false);
        let post = async |path: &str| {
            post(&rig, &replica, &format!("{prefix}{path}"), &key, &json!({"unload_models": true})).await
        };
        assert_eq!(post("/free").await.status, StatusCode::OK);
    }
}
