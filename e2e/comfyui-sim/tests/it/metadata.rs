//! What ComfyUI writes into files stands where it puts it.
use comfyui_sim::{Options, Sim};
use serde_json::{Value, json};

use crate::client::{Client, Result};

const WORKFLOW: &str = r#"{"nodes": "drawn"}"#;

/// A graph that ends in an output node, and the file that it makes with a workflow beside the prompt.
async fn made(client: &Client, class: &str, inputs: &Value, under: &str) -> Result<Vec<u8>> {
    let mut prompt = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 24, "height": 16, "batch_size": 2, "color": 8_421_504}},
        "2": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 8}},
        "3": {"class_type": "EmptyAudio", "inputs": {"duration": 1.0, "sample_rate": 44_100, "channels": 2}},
        "4": {"class_type": "VoxelToMesh", "inputs": {"voxel": ["5", 0], "algorithm": "basic", "threshold": 0.6}},
        "5": {"class_type": "VAEDecodeHunyuan3D", "inputs": {
            "samples": ["6", 0], "vae": ["7", 0], "num_chunks": 8000, "octree_resolution": 256,
        }},
        "6": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "7": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
        "9": {"class_type": class, "inputs": {"filename_prefix": "sub/out"}},
    });
    for (name, value) in inputs.as_object().into_iter().flatten() {
        prompt["9"]["inputs"][name] = value.clone();
    }
    let request =
        json!({"prompt": prompt, "extra_data": {"extra_pnginfo": {"workflow": {"nodes": "drawn"}}}});
    let (_, answer) = client.post("/prompt", &request).await?;
    let history = client.history(answer["prompt_id"].as_str().unwrap_or_default()).await?;
    let file = &history["outputs"]["9"][under][0];
    anyhow::ensure!(file["subfolder"] == "sub", "{class}: {history}");
    let query =
        ["filename", "subfolder", "type"].map(|field| (field, file[field].as_str().unwrap_or_default()));
    Ok(client.request("GET", "/view").query(&query).send().await?.error_for_status()?.bytes().await?.to_vec())
}

fn holds(file: &[u8], part: &[u8]) -> bool {
    file.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn prompt_and_graph_stand_in_every_kind_of_file() -> Result {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    let images = json!(["1", 0]);
    let webp = json!({"images": images, "fps": 6, "lossless": true, "quality": 80, "method": "default"});
    let webm = json!({"images": images, "codec": "vp9", "fps": 24, "crf": 32});
    let helper = |format: &str| json!({"images": images, "frame_rate": 8, "loop_count": 0, "format": format, "pingpong": false, "save_output": true});
    let was = json!({"images": images, "output_path": "", "extension": "jpg", "quality": 90});
    /// Class, inputs, where its files are listed, what stands before the prompt, what before the workflow.
    type Row<'r> = (&'r str, Value, &'r str, &'r [u8], &'r [u8]);
    let table: [Row<'_>; 12] = [
        ("SaveImage", json!({"images": images}), "images", b"tEXtprompt\0", b"tEXtworkflow\0"),
        (
            "SaveAnimatedPNG",
            json!({"images": images, "fps": 6, "compress_level": 4}),
            "images",
            b"comfprompt\0",
            b"comfworkflow\0",
        ),
        ("SaveAnimatedWEBP", webp, "images", b"prompt:", b"workflow:"),
        ("SaveWEBM", webm, "images", b"PROMPT\x44\x87", b"WORKFLOW\x44\x87"),
        (
            "SaveVideo",
            json!({"video": ["2", 0], "format": "mp4", "format.codec": "h264"}),
            "images",
            b"data\0\0\0\x01\0\0\0\0",
            b"data\0\0\0\x01\0\0\0\0",
        ),
        ("SaveAudio", json!({"audio": ["3", 0]}), "audio", b"prompt=", b"workflow="),
        (
            "SaveAudioMP3",
            json!({"audio": ["3", 0], "quality": "V0"}),
            "audio",
            b"\x03prompt\0",
            b"\x03workflow\0",
        ),
        ("SaveAudioOpus", json!({"audio": ["3", 0], "quality": "128k"}), "audio", b"prompt=", b"workflow="),
        ("SaveGLB", json!({"mesh": ["4", 0]}), "3d", b"\"extras\":{\"prompt\":\"", b"\"workflow\":\""),
        ("VHS_VideoCombine", helper("image/webp"), "gifs", b"prompt:", b"workflow:"),
        (
            "VHS_VideoCombine",
            helper("video/h264-mp4"),
            "gifs",
            b"data\0\0\0\x01\0\0\0\0",
            b"data\0\0\0\x01\0\0\0\0",
        ),
        ("Image Save", was, "images", b"prompt:", b"workflow:"),
    ];
    for (class, inputs, under, before_prompt, before_workflow) in table {
        let file = made(&client, class, &inputs, under).await?;
        // A GLB's texts are strings in JSON; a WebM's come after their lengths.
        let (prompt, workflow) = match class {
            "SaveGLB" => (b"{\\\"1\\\": ".to_vec(), WORKFLOW.replace('"', "\\\"").into_bytes()),
            _ => (b"{\"1\": ".to_vec(), WORKFLOW.as_bytes().to_vec()),
        };
        let follows = |before: &[u8], text: &[u8]| match class {
            "SaveWEBM" => holds(&file, before) && holds(&file, text),
            _ => holds(&file, &[before, text].concat()),
        };
        assert!(follows(before_prompt, &prompt), "{class}: no prompt");
        assert!(follows(before_workflow, &workflow), "{class}: no workflow");
    }
    let gif = made(&client, "VHS_VideoCombine", &helper("image/gif"), "gifs").await?;
    assert!(gif.starts_with(b"GIF89a") && !holds(&gif, b"prompt"));
    Ok(())
}

#[tokio::test]
async fn a_picture_may_have_alpha_or_sixteen_bits() -> Result {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    let mut prompt = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 24, "height": 16, "batch_size": 1, "color": 255}},
        "2": {"class_type": "SolidMask", "inputs": {"value": 0.5, "width": 24, "height": 16}},
        "3": {"class_type": "JoinImageWithAlpha", "inputs": {"image": ["1", 0], "alpha": ["2", 0]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "alpha"}},
    });
    let head = |file: &[u8]| file[24..26].to_vec();
    assert_eq!(head(&client.make(&prompt, "9", "images").await?), [8, 6]);
    prompt["9"] = json!({"class_type": "SaveImageAdvanced", "inputs": {
        "images": ["1", 0], "filename_prefix": "deep", "format": "png", "format.bit_depth": "16-bit",
        "format.input_color_space": "sRGB",
    }});
    assert_eq!(head(&client.make(&prompt, "9", "images").await?), [16, 2]);
    prompt["9"]["inputs"]["format.bit_depth"] = json!("64-bit");
    let (_, answer) = client.post("/prompt", &json!({"prompt": prompt})).await?;
    assert_eq!(answer["node_errors"]["9"]["errors"][0]["type"], "value_not_in_list");
    Ok(())
}
