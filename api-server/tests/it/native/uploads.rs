//! Files that prompts load.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Encoder};
use reqwest::{
    StatusCode,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use testkit::{S3, S3Options};

use super::{complete, get, graph, history, post, put, send};
use crate::rig::{Answer, Replica, Rig, answer};

/// BLAKE3 of `hello`, from the reference implementation.
const HELLO: &str = "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f";

async fn open(rig: &Rig) -> S3 {
    let s3 = S3::start(S3Options::default()).await.unwrap();
    rig.pool("sd15", &s3, |pool| pool["spec"]["inputs"] = json!({"maxBytes": 1_000_000})).await;
    s3
}

/// A form as ComfyUI's own page and its clients send it.
fn form(file: Part) -> Form {
    Form::new().part("image", file).text("type", "input").text("subfolder", "mine").text("overwrite", "true")
}

async fn upload(rig: &Rig, replica: &Replica, path: &str, key: &str, form: Form) -> Answer {
    answer(rig.post(replica, path, key).multipart(form)).await
}

fn with_file(name: &str) -> Value {
    let mut graph = graph("a cat");
    graph["1"] = json!({"class_type": "LoadImage", "inputs": {"image": name}});
    graph["2"] = json!({"class_type": "LoadImageMask", "inputs": {"image": format!("{name} [input]"), "channel": "alpha"}});
    graph
}

/// A PNG of two pixels.
fn png(color: ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    let mut encoder = Encoder::new(&mut out, 2, 1);
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    out
}

fn pixels(png: &[u8]) -> Vec<u8> {
    let mut reader = Decoder::new(Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    pixels
}

#[tokio::test]
async fn a_file_that_was_handed_in_is_loaded_by_the_name_that_it_got() {
    let rig = Rig::start().await;
    let _s3 = open(&rig).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let other = rig.tenant_with_key("other", json!({})).await;
    let replica = rig.replica().await;
    let name = format!("{HELLO}.png");
    for path in ["/upload/image", "/api/upload/image"] {
        let taken =
            upload(&rig, &replica, path, &key, form(Part::text("hello").file_name("../My Cat.PNG"))).await;
        assert_eq!(taken.status, StatusCode::OK, "{taken:?}");
        assert_eq!(taken.json, json!({"name": name, "subfolder": "", "type": "input"}));
    }
    let view = format!("/view?filename={name}&type=input&subfolder=");
    assert_eq!(rig.get(&replica, &view, &key).send().await.unwrap().text().await.unwrap(), "hello");
    assert_eq!(get(&rig, &replica, &view, &other).await.status, StatusCode::NOT_FOUND);

    let sent = post(&rig, &replica, "/prompt", &key, &json!({"prompt": with_file(&name)})).await;
    assert_eq!(sent.status, StatusCode::OK, "{sent:?}");
    let job = rig.jobs().get(sent.json["prompt_id"].as_str().unwrap()).await.unwrap();
    let spec = serde_json::to_value(&job.spec).unwrap();
    let input = format!("upload-{}", &HELLO[..16]);
    assert_eq!(spec["inputs"].as_array().unwrap().len(), 1, "{}", spec["inputs"]);
    assert_eq!(spec["inputs"][0]["name"], *input);
    assert_eq!(spec["inputs"][0]["from"]["s3"]["key"], format!("generated/uploads/acme/{HELLO}"));
    let nodes = &spec["work"]["workflow"]["graph"];
    assert_eq!(
        (&nodes["1"]["inputs"]["image"], &nodes["2"]["inputs"]["image"]),
        (&json!(input), &json!(input))
    );

    // Another's file does not exist; a name of the engine's own files is the engine's matter.
    let refused = post(&rig, &replica, "/prompt", &other, &json!({"prompt": with_file(&name)})).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let error = &refused.json["node_errors"]["1"]["errors"][0];
    assert_eq!(error["type"], "custom_validation_failed", "{refused:?}");
    assert_eq!(error["details"], format!("image - Invalid image file: {name}"));
    let own = post(&rig, &replica, "/prompt", &other, &json!({"prompt": with_file("example.png")})).await;
    assert_eq!(own.status, StatusCode::OK, "{own:?}");
}

#[tokio::test]
async fn a_mask_becomes_the_transparency_of_its_picture() {
    let rig = Rig::start().await;
    let s3 = open(&rig).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let replica = rig.replica().await;
    let picture = png(ColorType::Rgb, &[10, 20, 30, 40, 50, 60]);
    let mask = || Part::bytes(png(ColorType::Rgba, &[0, 0, 0, 0, 9, 9, 9, 255])).file_name("mask.png");
    let masked = async |original: &Value, mask: Part| {
        let form =
            Form::new().part("image", mask).text("original_ref", original.to_string()).text("type", "input");
        upload(&rig, &replica, "/upload/mask", &key, form).await
    };
    let taken =
        upload(&rig, &replica, "/upload/image", &key, form(Part::bytes(picture.clone()).file_name("a.png")))
            .await;
    let original = json!({"filename": taken.json["name"], "subfolder": "", "type": "input"});

    // The picture may also be one that a prompt made.
    let id = send(&rig, &replica, &key, "me", "a cat").await;
    put(&s3, "generated/a.png", &picture.into()).await;
    complete(&rig, &id, rig.output("sd15", &s3)).await;
    let made = history(&rig, &replica, &key, &id).await["outputs"]["9"]["images"][0].clone();

    for original in [&original, &made] {
        let answer = masked(original, mask()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let name = answer.json["name"].as_str().unwrap();
        assert!(name.ends_with(".png") && *name != original["filename"], "{name}");
        let shown =
            rig.get(&replica, &format!("/view?filename={name}&type=input"), &key).send().await.unwrap();
        assert_eq!(pixels(&shown.bytes().await.unwrap()), [10, 20, 30, 0, 40, 50, 60, 255]);
    }

    let opaque = || Part::bytes(png(ColorType::Rgb, &[0; 6]));
    for (original, mask, status, says) in [
        (json!({"filename": "example.png"}), mask(), StatusCode::NOT_FOUND, "example.png"),
        (json!({"filename": format!("{id}_0_7_a.png")}), mask(), StatusCode::NOT_FOUND, "_0_7_a.png"),
        (json!([]), mask(), StatusCode::BAD_REQUEST, "original_ref"),
        (original.clone(), opaque(), StatusCode::BAD_REQUEST, "transparen"),
        (original.clone(), Part::text("GIF89a"), StatusCode::BAD_REQUEST, "must be a PNG"),
    ] {
        let refused = masked(&original, mask).await;
        assert_eq!(refused.status, status, "{original}: {refused:?}");
        assert!(refused.json["error"]["message"].as_str().unwrap().contains(says), "{refused:?}");
    }
}

#[tokio::test]
async fn what_can_not_be_taken_is_refused_in_comfyuis_shape() {
    let rig = Rig::start().await;
    let _s3 = open(&rig).await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let looks = rig.key(&["--tenant", "acme", "--read-only"]).await;
    let replica = rig.replica().await;
    let part = || Part::text("hello").file_name("a.png");
    for (path, key, form, status) in [
        ("/upload/image", &*key, Form::new().part("file", part()), StatusCode::BAD_REQUEST),
        ("/upload/image", &key, form(Part::bytes(vec![7; 1_000_001])), StatusCode::PAYLOAD_TOO_LARGE),
        ("/upload/image", &key, form(Part::text("")), StatusCode::BAD_REQUEST),
        ("/upload/image", &looks, form(part()), StatusCode::FORBIDDEN),
        ("/upload/mask", &looks, form(part()), StatusCode::FORBIDDEN),
        ("/upload/mask", &key, form(part()), StatusCode::BAD_REQUEST),
        ("/upload/image", "ij_none", form(part()), StatusCode::UNAUTHORIZED),
    ] {
        let refused = upload(&rig, &replica, path, key, form).await;
        assert_eq!(refused.status, status, "{path}: {refused:?}");
        assert!(refused.json["error"]["message"].is_string(), "{refused:?}");
    }
}
