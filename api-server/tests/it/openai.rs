//! OpenAI's Images API.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crds::WorkOf;
use futures::StreamExt as _;
use kube::ResourceExt as _;
use reqwest::{
    StatusCode,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use testkit::{Fault, wait_for};

use crate::{
    clients::Shop,
    maker::PNG as MADE,
    rig::{Answer, PATIENCE, Rig, answer},
};

const GENERATIONS: &str = "/v1/images/generations";
const PNG: &[u8] = b"\x89PNG";

#[tokio::test]
async fn openais_sdk_makes_pictures() {
    let aliases = json!({"modelAliases": [{"name": "dall-e-3", "model": "sd15.safetensors"}]});
    Shop::open_for(aliases, Duration::from_millis(300)).await.run("openai_client.py").await;
}

#[track_caller]
fn is_refused(answer: &Answer, status: u16, code: &Value, param: &Value) {
    let error = &answer.json["error"];
    assert_eq!(
        (answer.status.as_u16(), &error["code"], &error["param"]),
        (status, code, param),
        "{answer:?}"
    );
    assert!(error["message"].is_string() && error["type"].is_string(), "{answer:?}");
}

#[tokio::test]
async fn a_request_becomes_a_job_and_its_pictures_the_answer() {
    let shop = Shop::open().await;
    let body = json!({"prompt": "a cat", "n": 2, "size": "512x768", "output_format": "webp", "user": "ann@example.com",
        "negative_prompt": "dogs", "steps": 12, "guidance_scale": "6.5", "seed": "7", "sampler": "Euler a", "scheduler": "Karras",
        "style": "vivid", "quality": "hd", "watermark": false});
    // The Content-Type does not matter.
    let made = answer(
        shop.post(GENERATIONS, &json!({})).header("content-type", "text/plain").body(body.to_string()),
    )
    .await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    assert_eq!(made.header("x-imagejob-ignored"), Some("style, quality, watermark"));
    assert!(made.header("x-request-id").is_some());
    let data = made.json["data"].as_array().unwrap();
    assert_eq!(
        (data.len(), &made.json["size"], &made.json["output_format"]),
        (2, &json!("1x1"), &json!("png"))
    );
    assert!(made.json["created"].as_i64().unwrap() > 1_700_000_000);
    for picture in data {
        assert!(STANDARD.decode(picture["b64_json"].as_str().unwrap()).unwrap().starts_with(PNG));
    }
    let job = shop.jobs().await.remove(0);
    let Ok(WorkOf::TextToImage(work)) = job.spec.work.of_type() else { panic!("{job:?}") };
    let sampling = &work.sampling;
    assert_eq!((&*sampling.model, &*sampling.prompt), ("sd15.safetensors", "a cat"));
    assert_eq!((&*sampling.negative_prompt, sampling.steps, sampling.seed), ("dogs", Some(12), Some(7)));
    assert_eq!(sampling.cfg_scale.map(|scale| scale.to_string()).as_deref(), Some("6.5"));
    assert_eq!(
        (sampling.sampler.as_deref(), sampling.scheduler.as_deref()),
        (Some("euler_ancestral"), Some("karras"))
    );
    assert_eq!((work.width, work.height, job.spec.count), (Some(512), Some(768), 2));
    assert_eq!(job.spec.output.format, Some(crds::Format::Webp));
    assert_eq!(job.labels()["imagejob.dev/front"], "openai");
    let request = &job.annotations()["imagejob.dev/request"];
    assert!(request.contains("\"user\"") && !request.contains("ann@"), "{request}");

    // Through a pool's own base URL.
    let pool = format!("/pools/{}/sd15{GENERATIONS}", shop.rig.studio);
    assert_eq!(answer(shop.post(&pool, &json!({"prompt": "a dog"}))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn refusals_have_openais_shape() {
    let shop = Shop::open().await;
    let unknown = json!({"prompt": "a cat", "model": "dall-e-3"});
    for (body, status, code, param) in [
        (unknown, 404, json!("model_not_found"), json!("model")),
        (json!({}), 400, Value::Null, json!("prompt")),
        (json!({"prompt": "a".repeat(10_001)}), 400, Value::Null, json!("prompt")),
        (json!({"prompt": "a cat", "n": 11}), 400, Value::Null, json!("n")),
        (json!({"prompt": "a cat", "size": "100x100"}), 400, Value::Null, json!("size")),
        (json!({"prompt": "a cat", "background": "transparent"}), 400, Value::Null, json!("background")),
        (json!({"prompt": "a cat", "output_format": "svg"}), 400, Value::Null, json!("output_format")),
        (
            json!({"prompt": "a cat", "cfg_scale": 1, "guidance_scale": 2}),
            400,
            Value::Null,
            json!("cfg_scale"),
        ),
        // What only the cluster's API server refuses.
        (json!({"prompt": "a cat", "steps": 5000}), 400, Value::Null, json!("steps")),
        (json!({"prompt": "a cat", "guidance_scale": 500}), 400, Value::Null, Value::Null),
    ] {
        let refused = answer(shop.post(GENERATIONS, &body)).await;
        let param = if param.is_null() { refused.json["error"]["param"].clone() } else { param };
        is_refused(&refused, status, &code, &param);
    }
    let broken = answer(shop.post(GENERATIONS, &json!({})).body("{")).await;
    is_refused(&broken, 400, &Value::Null, &Value::Null);
    let large = answer(shop.post(GENERATIONS, &json!({"prompt": "a".repeat(2 << 20)}))).await;
    is_refused(&large, 413, &Value::Null, &Value::Null);

    let rig = &shop.rig;
    for key in ["", "ij_unknown"] {
        let refused =
            answer(rig.post(&shop.replica, GENERATIONS, key).json(&json!({"prompt": "a cat"}))).await;
        is_refused(&refused, 401, &json!("invalid_api_key"), &Value::Null);
    }
    let reader = rig.key(&["--tenant", "acme", "--read-only"]).await;
    let refused = wait_for("the key to be known", PATIENCE, async || {
        let refused =
            answer(rig.post(&shop.replica, GENERATIONS, &reader).json(&json!({"prompt": "a cat"}))).await;
        (refused.status != StatusCode::UNAUTHORIZED).then_some(refused)
    });
    is_refused(&refused.await.unwrap(), 403, &Value::Null, &Value::Null);

    let failed = answer(shop.post(GENERATIONS, &json!({"prompt": "fail"}))).await;
    is_refused(&failed, 500, &Value::Null, &Value::Null);
    assert_eq!(failed.header("x-should-retry"), Some("false"));
    assert!(failed.json["error"]["message"].as_str().unwrap().contains("asked to fail"), "{failed:?}");
}

#[tokio::test]
async fn a_url_is_signed_and_needs_no_key() {
    let shop = Shop::open().await;
    let made = answer(shop.post(GENERATIONS, &json!({"prompt": "a cat", "response_format": "url"}))).await;
    let url = made.json["data"][0]["url"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned();
    assert!(url.starts_with(&format!("http://{}/v1/images/files/", shop.replica.address)), "{url}");
    let get = async |url: &str, key: Option<&str>| {
        let mut request = reqwest::Client::new().get(url);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.headers()["content-type"].clone(), answer.bytes().await.unwrap())
    };
    // Open WebUI sends its key along, which says nothing here.
    for key in [None, Some("anything"), Some(&*shop.key)] {
        let (status, kind, bytes) = get(&url, key).await;
        assert_eq!((status, kind.to_str().unwrap()), (StatusCode::OK, "image/png"));
        assert!(bytes.starts_with(PNG));
    }
    // Another replica knows the signature too.
    let other = shop.rig.replica_at_home().await;
    let elsewhere = url.replace(&shop.replica.address.to_string(), &other.address.to_string());
    assert_eq!(get(&elsewhere, None).await.0, StatusCode::OK);
    let secret = shop.rig.secrets().get("imagejob-api-signing").await.unwrap();
    assert_eq!((secret.type_.as_deref(), secret.data.unwrap()["secret"].0.len()), (Some("Opaque"), 32));

    let (path, query) = url.split_once('?').unwrap();
    for changed in [
        path.to_owned(),
        format!("{path}?{}", query.replace("tenant=acme", "tenant=other")),
        format!("{path}?{}", query.replace("expires=", "expires=9")),
        format!("{path}?{}", query.replace("expires=1", "expires=0")),
        format!("{}1?{query}", path.trim_end_matches('0')),
        format!("{url}A"),
    ] {
        assert_eq!(get(&changed, Some(&shop.key)).await.0, StatusCode::FORBIDDEN, "{changed}");
    }
}

#[tokio::test]
async fn a_request_that_comes_again_meets_the_job_of_the_first() {
    let shop = Shop::open().await;
    let send = async |body: &Value, retries: u32| {
        let request = shop.post(GENERATIONS, body).header("x-stainless-retry-count", retries.to_string());
        assert_eq!(answer(request).await.status, StatusCode::OK);
        shop.rig.how_many_jobs().await
    };
    let body = json!({"prompt": "a cat", "user": "ann"});
    assert_eq!(send(&body, 0).await, 1);
    assert_eq!(send(&json!({"user": "ann", "prompt": "a cat", "response_format": "url"}), 1).await, 1);
    // Without the count it is a new request, and so is another body.
    assert_eq!(send(&body, 0).await, 2);
    assert_eq!(send(&json!({"prompt": "a dog", "user": "ann"}), 2).await, 3);
    let other = shop.rig.tenant_with_key("other", json!({})).await;
    let request = shop.rig.post(&shop.replica, GENERATIONS, &other).json(&body);
    let made = wait_for("the key to be known", PATIENCE, async || {
        let made = answer(request.try_clone().unwrap().header("x-stainless-retry-count", "1")).await;
        (made.status != StatusCode::UNAUTHORIZED).then_some(made)
    });
    assert_eq!(made.await.unwrap().status, StatusCode::OK);
    assert_eq!(shop.rig.how_many_jobs().await, 4);
}

#[tokio::test]
async fn limits_are_told_in_headers_and_in_two_kinds_of_refusal() {
    let limits = json!({"limits": {"requestsPerSecond": 1, "imagesPerDay": 9}});
    let shop = Shop::open_for(limits, Duration::from_millis(10)).await;
    let made = answer(shop.post(GENERATIONS, &json!({"prompt": "a cat"}))).await;
    assert_eq!(made.header("x-ratelimit-limit-requests"), Some("10"), "{made:?}");
    assert_eq!(made.header("x-ratelimit-remaining-requests"), Some("9"));
    assert_eq!(made.header("x-ratelimit-reset-requests"), Some("1s"));
    let spent = answer(shop.post(GENERATIONS, &json!({"prompt": "a cat", "n": 10}))).await;
    is_refused(&spent, 429, &json!("insufficient_quota"), &Value::Null);
    assert_eq!(spent.header("x-should-retry"), Some("false"));
    let fast = shop.rig.tenant_with_key("fast", json!({"limits": {"requestsPerSecond": 1}})).await;
    wait_for("the key to be known", PATIENCE, async || {
        let listed = answer(shop.rig.get(&shop.replica, "/v1/models", &fast)).await;
        (listed.status == StatusCode::OK).then_some(())
    })
    .await
    .unwrap();
    let one = || answer(shop.rig.post(&shop.replica, GENERATIONS, &fast).json(&json!({"prompt": "a cat"})));
    let answers = futures::future::join_all((0..20).map(|_| one())).await;
    let fast = answers.iter().find(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS).unwrap();
    is_refused(fast, 429, &json!("rate_limit_exceeded"), &Value::Null);
    assert_eq!(fast.header("x-should-retry"), None);
    assert!((1..=120).contains(&fast.header("retry-after").unwrap().parse::<u64>().unwrap()));
}

#[tokio::test]
async fn a_stream_brings_one_event_a_picture_or_the_error() {
    let shop = Shop::open().await;
    let body = json!({"prompt": "a cat", "n": 2, "stream": true, "partial_images": 2, "style": "vivid"});
    let stream = shop.post(GENERATIONS, &body).send().await.unwrap();
    assert_eq!(
        (stream.status(), &stream.headers()["content-type"]),
        (StatusCode::OK, &"text/event-stream".parse().unwrap())
    );
    assert_eq!(stream.headers()["x-imagejob-ignored"], "style");
    let text = stream.text().await.unwrap();
    assert_eq!(text.matches("event: image_generation.completed\n").count(), 2, "{text}");
    for data in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let event: Value = serde_json::from_str(data).unwrap();
        for field in ["b64_json", "created_at", "size", "quality", "background", "output_format", "usage"] {
            assert!(!event[field].is_null(), "{field} of {event}");
        }
        assert_eq!(event["type"], "image_generation.completed");
    }
    let failed = shop.post(GENERATIONS, &json!({"prompt": "fail", "stream": true})).send().await.unwrap();
    let text = failed.text().await.unwrap();
    let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    assert!(serde_json::from_str::<Value>(data).unwrap()["error"]["message"].is_string(), "{text}");
    // What is wrong from the start has its own status.
    let wrong = answer(shop.post(GENERATIONS, &json!({"prompt": "a cat", "n": 0, "stream": true}))).await;
    is_refused(&wrong, 400, &Value::Null, &json!("n"));
}

#[tokio::test]
async fn a_long_answer_is_kept_alive_by_spaces_and_an_error_in_it_breaks_the_connection() {
    const SLOW: Duration = Duration::from_secs(14);
    let shop = Shop::open_for(json!({}), SLOW).await;
    let began = Instant::now();
    let made = shop.post(GENERATIONS, &json!({"prompt": "a cat"})).send().await.unwrap();
    let mut body = made.bytes_stream();
    let first = body.next().await.unwrap().unwrap();
    assert_eq!(&*first, b" ");
    assert!(began.elapsed() < SLOW, "{:?}", began.elapsed());
    let mut text = first.to_vec();
    while let Some(piece) = body.next().await {
        text.extend_from_slice(&piece.unwrap());
    }
    let parsed: Value = serde_json::from_slice(&text).unwrap();
    assert!(parsed["data"][0]["b64_json"].is_string(), "{parsed}");

    let failed = shop.post(GENERATIONS, &json!({"prompt": "fail"})).send().await.unwrap();
    assert_eq!(failed.status(), StatusCode::OK);
    assert!(failed.bytes().await.is_err());
    // The SDK sends it again, and gets what is wrong.
    let again = shop.post(GENERATIONS, &json!({"prompt": "fail"})).header("x-stainless-retry-count", "1");
    is_refused(&answer(again).await, 500, &Value::Null, &Value::Null);
    assert_eq!(shop.rig.how_many_jobs().await, 2);
}

#[tokio::test]
async fn what_waits_for_an_administrator_is_refused_and_cancelled() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let body = json!({"prompt": "a cat", "model": "sd15.safetensors"});
    let waiting = tokio::spawn(answer(rig.post(&replica, GENERATIONS, &key).json(&body)));
    let jobs = rig.jobs();
    let id = wait_for("the job", PATIENCE, async || {
        Some(jobs.list(&kube::api::ListParams::default()).await.ok()?.items.first()?.name_any())
    });
    let id = id.await.unwrap();
    rig.say(&id, &[("Ready", "LimitExceeded")], json!({})).await;
    let refused = waiting.await.unwrap();
    is_refused(&refused, 400, &Value::Null, &Value::Null);
    assert_eq!(refused.json["error"]["message"], "It is LimitExceeded.");
    assert!(jobs.get(&id).await.unwrap().spec.cancel);
}

/// A picture of one pixel, half of which one sees through, and what the mask of it is.
fn mask(alpha: u8) -> (Vec<u8>, Vec<u8>) {
    let png = |colour, pixel: &[u8]| {
        let mut out = vec![];
        let mut encoder = png::Encoder::new(&mut out, 1, 1);
        encoder.set_color(colour);
        encoder.write_header().unwrap().write_image_data(pixel).unwrap();
        out
    };
    (png(png::ColorType::Rgba, &[1, 2, 3, alpha]), png(png::ColorType::Grayscale, &[255 - alpha]))
}

#[tokio::test]
async fn a_picture_is_changed_where_its_mask_is_transparent() {
    let shop = Shop::open().await;
    let edit = async |form: Form| {
        answer(shop.rig.post(&shop.replica, "/v1/images/edits", &shop.key).multipart(form)).await
    };
    let file =
        |content: &[u8]| Part::bytes(content.to_vec()).file_name("a.png").mime_str("image/png").unwrap();
    let (transparent, white) = mask(100);
    let form = Form::new()
        .part("image", file(MADE))
        .part("mask", file(&transparent))
        .text("prompt", "a hat")
        .text("n", "2")
        .text("size", "512x512")
        .text("strength", "0.5")
        .text("input_fidelity", "high");
    let made = edit(form).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    assert_eq!(made.header("x-imagejob-ignored"), Some("input_fidelity, size"));
    assert_eq!(made.json["data"].as_array().unwrap().len(), 2);
    let job = shop.jobs().await.remove(0);
    let Ok(WorkOf::ImageToImage(work)) = job.spec.work.of_type() else { panic!("{job:?}") };
    assert_eq!((&*work.sampling.prompt, &*work.strength.to_string(), job.spec.count), ("a hat", "0.5", 2));
    assert_eq!(shop.input(&job, &work.image).await, MADE);
    assert_eq!(shop.input(&job, work.mask.as_deref().unwrap()).await, white);

    let stream = Form::new().part("image[]", file(MADE)).text("prompt", "a hat").text("stream", "true");
    let request = shop.rig.post(&shop.replica, "/v1/images/edits", &shop.key).multipart(stream);
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(text.contains("event: image_edit.completed\n"), "{text}");

    let prompt = || Form::new().text("prompt", "a hat");
    for (form, param) in [
        (prompt(), json!("image")),
        (prompt().part("image[]", file(MADE)).part("image[]", file(MADE)), json!("image")),
        (prompt().part("image", file(MADE)).part("mask", file(MADE)), json!("mask")),
        (prompt().part("image", file(MADE)).part("mask", file(b"GIF89a")), json!("mask")),
        (Form::new().part("image", file(MADE)), json!("prompt")),
        (prompt().part("image", file(MADE)).text("n", "x"), json!("n")),
    ] {
        is_refused(&edit(form).await, 400, &Value::Null, &param);
    }
    let no_form = answer(shop.post("/v1/images/edits", &json!({"prompt": "a hat"}))).await;
    is_refused(&no_form, 400, &Value::Null, &Value::Null);
    let nobody = shop.rig.post(&shop.replica, "/v1/images/edits", "").multipart(prompt());
    is_refused(&answer(nobody).await, 401, &json!("invalid_api_key"), &Value::Null);
}

#[tokio::test]
async fn while_the_cluster_is_away_the_sdk_is_told_to_come_again() {
    let mut shop = Shop::open().await;
    shop.rig.api_proxy.set(Fault::Refuse).await;
    let refused = answer(shop.post(GENERATIONS, &json!({"prompt": "a cat"}))).await;
    is_refused(&refused, 503, &Value::Null, &Value::Null);
    assert!((1..=120).contains(&refused.header("retry-after").unwrap().parse::<u64>().unwrap()));
    assert_eq!(refused.header("x-should-retry"), None);
}

#[tokio::test]
async fn models_are_listed_with_their_other_names() {
    let aliases = json!({"modelAliases": [{"name": "dall-e-3", "model": "sd15.safetensors"}]});
    let shop = Shop::open_for(aliases, Duration::from_millis(10)).await;
    let listed = answer(shop.get("/v1/models")).await;
    let model = |id: &str| json!({"id": id, "object": "model", "created": 0, "owned_by": "acme"});
    assert_eq!(
        listed.json,
        json!({"object": "list", "data": [model("dall-e-3"), model("sd15.safetensors")]})
    );
    let made = answer(shop.post(GENERATIONS, &json!({"prompt": "a cat", "model": "dall-e-3"}))).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    is_refused(
        &answer(shop.rig.get(&shop.replica, "/v1/models", "ij_unknown")).await,
        401,
        &json!("invalid_api_key"),
        &Value::Null,
    );
}
