//! Pictures from pictures: that an input, a mask, a strength, a LoRA, a control net and a VAE take effect.
use comfyui_sim::{Options, Sim};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::client::{Client, Result, pixels, text_to_image};

/// A PNG of one colour, whose right half is transparent.
fn png(colour: [u8; 3]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 64, 64);
    encoder.set_color(png::ColorType::Rgba);
    let [red, green, blue] = colour;
    let row: Vec<u8> = (0..64).flat_map(|x| [red, green, blue, if x < 32 { 255 } else { 0 }]).collect();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&row.repeat(64)).unwrap();
    writer.finish().unwrap();
    file
}

async fn upload(client: &Client, name: &str, file: Vec<u8>, fields: &[(&str, &str)]) -> Result<Value> {
    let mut form = Form::new().part("image", Part::bytes(file).file_name(name.to_owned()));
    for (field, value) in fields {
        form = form.text((*field).to_owned(), (*value).to_owned());
    }
    Ok(client
        .request("POST", "/upload/image")
        .multipart(form)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?)
}

/// A picture of the picture `input`, for a part of the schedule.
fn image_to_image(input: &str, denoise: f64) -> Value {
    let mut graph = text_to_image(1, 4, 64);
    graph["10"] = json!({"class_type": "LoadImage", "inputs": {"image": input}});
    graph["5"] = json!({"class_type": "VAEEncode", "inputs": {"pixels": ["10", 0], "vae": ["4", 2]}});
    graph["3"]["inputs"]["denoise"] = json!(denoise);
    graph
}

/// How far colours are from one colour, on average.
fn distance(picture: &(u32, u32, Vec<u8>), colour: [u8; 3]) -> u32 {
    let off = |pixel: &[u8]| -> u32 { pixel.iter().zip(colour).map(|(a, b)| u32::from(a.abs_diff(b))).sum() };
    picture.2.chunks(3).map(off).sum::<u32>() / u32::try_from(picture.2.len() / 3).unwrap()
}

const RED: [u8; 3] = [220, 30, 30];
const BLUE: [u8; 3] = [30, 30, 220];

#[tokio::test]
async fn a_picture_of_a_picture_is_like_it_the_more_the_less_is_changed() -> Result {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    upload(&client, "red.png", png(RED), &[]).await?;
    upload(&client, "blue.png", png(BLUE), &[]).await?;
    let mut of_red = Vec::new();
    for denoise in [0.2, 0.9] {
        of_red.push(pixels(&client.make(&image_to_image("red.png", denoise), "9", "images").await?));
    }
    assert!(distance(&of_red[0], RED) < distance(&of_red[1], RED));
    let of_blue = pixels(&client.make(&image_to_image("blue.png", 0.2), "9", "images").await?);
    assert!(distance(&of_blue, BLUE) < distance(&of_red[0], BLUE));

    let samplings = client.get("/sim/samplings").await?;
    assert_eq!(samplings[1]["denoise"], 0.9);
    let [red, .., blue] = [0, 1, 2].map(|channel| samplings[0]["source"][channel].as_u64().unwrap());
    assert!(red > 200 && blue < 50, "{samplings}");
    Ok(())
}

#[tokio::test]
async fn a_mask_says_what_is_painted_anew() -> Result {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    upload(&client, "red.png", png(RED), &[]).await?;
    // What is transparent is meant: the right half.
    let mut masked = image_to_image("red.png", 1.0);
    masked["11"] =
        json!({"class_type": "SetLatentNoiseMask", "inputs": {"samples": ["5", 0], "mask": ["10", 1]}});
    masked["3"]["inputs"]["latent_image"] = json!(["11", 0]);
    let mut inpaint = image_to_image("red.png", 1.0);
    inpaint["5"] = json!({"class_type": "VAEEncodeForInpaint", "inputs": {
        "pixels": ["10", 0], "vae": ["4", 2], "mask": ["12", 0], "grow_mask_by": 0,
    }});
    inpaint["12"] =
        json!({"class_type": "LoadImageMask", "inputs": {"image": "red.png", "channel": "alpha"}});
    let mut conditioned = image_to_image("red.png", 1.0);
    conditioned["11"] = json!({"class_type": "InpaintModelConditioning", "inputs": {
        "positive": ["6", 0], "negative": ["7", 0], "vae": ["4", 2], "pixels": ["10", 0], "mask": ["10", 1],
        "noise_mask": true,
    }});
    for (input, slot) in [("positive", 0), ("negative", 1), ("latent_image", 2)] {
        conditioned["3"]["inputs"][input] = json!(["11", slot]);
    }
    for graph in [masked, inpaint, conditioned] {
        let (_, _, picture) = pixels(&client.make(&graph, "9", "images").await?);
        let half = |right: usize| -> Vec<u8> {
            picture.chunks(64 * 3).flat_map(|row| row[right * 120..right * 120 + 72].to_vec()).collect()
        };
        assert!(distance(&(0, 0, half(0)), RED) < 30, "the left half stays");
        assert!(distance(&(0, 0, half(1)), RED) > 60, "the right half is new");
    }
    assert!(sim.samplings().iter().all(|sampling| sampling["mask"] == 0.5), "{:?}", sim.samplings());
    Ok(())
}

#[tokio::test]
async fn strengths_take_effect_and_a_strength_of_zero_none() -> Result {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    upload(&client, "red.png", png(RED), &[]).await?;
    upload(&client, "blue.png", png(BLUE), &[]).await?;
    let lora = |strength: f64| {
        let mut graph = text_to_image(1, 3, 64);
        graph["10"] = json!({"class_type": "LoraLoader", "inputs": {
            "model": ["4", 0], "clip": ["4", 1], "lora_name": "ink.safetensors", "strength_model": strength,
            "strength_clip": strength,
        }});
        graph["3"]["inputs"]["model"] = json!(["10", 0]);
        graph["6"]["inputs"]["clip"] = json!(["10", 1]);
        graph
    };
    let control = |strength: f64, image: &str| {
        let mut graph = text_to_image(1, 3, 64);
        graph["10"] = json!({"class_type": "LoadImage", "inputs": {"image": image}});
        graph["11"] = json!({"class_type": "ControlNetLoader", "inputs": {
            "control_net_name": "control_v11p_sd15_canny.safetensors",
        }});
        graph["12"] = json!({"class_type": "ControlNetApplyAdvanced", "inputs": {
            "positive": ["6", 0], "negative": ["7", 0], "control_net": ["11", 0], "image": ["10", 0],
            "strength": strength, "start_percent": 0.0, "end_percent": 1.0,
        }});
        graph["3"]["inputs"]["positive"] = json!(["12", 0]);
        graph["3"]["inputs"]["negative"] = json!(["12", 1]);
        graph
    };
    let mut vae = text_to_image(1, 3, 64);
    vae["10"] = json!({"class_type": "VAELoader", "inputs": {"vae_name": "vae-ft-mse-840000-ema-pruned.safetensors"}});
    vae["8"]["inputs"]["vae"] = json!(["10", 0]);
    let plain = pixels(&client.make(&text_to_image(1, 3, 64), "9", "images").await?);
    for nothing in [lora(0.0), control(0.0, "red.png")] {
        assert_eq!(pixels(&client.make(&nothing, "9", "images").await?), plain);
    }
    let mut seen = vec![plain];
    for graph in [
        lora(0.5),
        lora(1.0),
        control(0.5, "red.png"),
        control(1.0, "red.png"),
        control(1.0, "blue.png"),
        vae,
    ] {
        let picture = pixels(&client.make(&graph, "9", "images").await?);
        assert!(!seen.contains(&picture), "{graph}");
        seen.push(picture);
    }
    let shown = sim.samplings().iter().map(Value::to_string).collect::<String>();
    for words in
        ["v1-5-pruned.safetensors ink.safetensors 0.5", "control_v11p_sd15_canny.safetensors 0.5 0-1 "]
    {
        assert!(shown.contains(words), "{words} in {shown}");
    }
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_not_there_is_refused_and_uploads_are_counted() -> Result {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    let missing = [
        ("LoadImage", "image", "image"),
        ("LoadImageMask", "image", "image"),
        ("LoadVideo", "file", "video"),
        ("LoadAudio", "audio", "audio"),
    ];
    for (class, input, what) in missing {
        let graph = json!({
            "1": {"class_type": class, "inputs": {input: "none.bin", "channel": "red"}},
            "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
        });
        let (status, answer) = client.post("/prompt", &json!({"prompt": graph})).await?;
        let error = &answer["node_errors"]["1"]["errors"][0];
        assert_eq!(
            (status.as_u16(), &error["type"]),
            (400, &json!("custom_validation_failed")),
            "{class}: {answer}"
        );
        assert_eq!(error["details"], format!("{input} - Invalid {what} file: none.bin"));
    }
    let first = upload(&client, "a.png", png(RED), &[("subfolder", "job")]).await?;
    assert_eq!(first, json!({"name": "a.png", "subfolder": "job", "type": "input"}));
    let other = upload(&client, "a.png", png(BLUE), &[("subfolder", "job")]).await?;
    assert_eq!(other["name"], "a (1).png");
    upload(&client, "a.png", png(BLUE), &[("subfolder", "job"), ("overwrite", "true")]).await?;
    let temp = upload(&client, "t.png", png(RED), &[("type", "temp")]).await?;
    assert_eq!(temp["type"], "temp");
    assert_eq!(sim.stats().uploads, 4);
    let inputs = sim.inputs();
    let names: Vec<&str> = inputs.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["job/a (1).png", "job/a.png"]);
    assert_eq!(inputs[0].sha256, inputs[1].sha256, "both are the blue one now");
    assert_eq!(client.get("/sim/inputs").await?[1]["bytes"], json!(png(BLUE).len()));
    for name in ["job/a.png", "job/a.png [input]", "t.png [temp]"] {
        client.make(&image_to_image(name, 0.5), "9", "images").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_video_and_a_sound_follow_from_the_files_they_are_loaded_from() -> Result {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    let clip = |frames: u32, colour: u32| {
        json!({
            "1": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 16, "batch_size": frames, "color": colour}},
            "2": {"class_type": "CreateVideo", "inputs": {"images": ["1", 0], "fps": 8}},
            "9": {"class_type": "SaveVideo", "inputs": {
                "video": ["2", 0], "filename_prefix": "clip", "format": "auto", "format.codec": "auto",
            }},
        })
    };
    let mut seen = Vec::new();
    for (frames, colour) in [(3, 255), (3, 65_280), (5, 255)] {
        let file = client.make(&clip(frames, colour), "9", "images").await?;
        upload(&client, "clip.mp4", file, &[("overwrite", "true")]).await?;
        let loaded = json!({
            "1": {"class_type": "LoadVideo", "inputs": {"file": "clip.mp4"}},
            "2": {"class_type": "GetVideoComponents", "inputs": {"video": ["1", 0]}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "frame"}},
        });
        let history = client.run(&loaded).await?;
        let files = history["outputs"]["9"]["images"].as_array().unwrap();
        assert_eq!(files.len() as u64, u64::from(frames), "as many as the clip has");
        let path = format!("/view?filename={}", files[0]["filename"].as_str().unwrap());
        let picture = pixels(&client.request("GET", &path).send().await?.bytes().await?);
        assert_eq!((picture.0, picture.1), (32, 16));
        assert!(!seen.contains(&picture));
        seen.push(picture);
    }
    let mut sounds = Vec::new();
    for sound in [&b"RIFF one"[..], b"RIFF two"] {
        upload(&client, "s.wav", sound.to_vec(), &[("overwrite", "true")]).await?;
        let saved = json!({
            "1": {"class_type": "LoadAudio", "inputs": {"audio": "s.wav"}},
            "9": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "s"}},
        });
        sounds.push(client.make(&saved, "9", "audio").await?);
    }
    assert_ne!(sounds[0], sounds[1]);
    upload(&client, "text.wav", b"no sound".to_vec(), &[]).await?;
    let broken = json!({
        "1": {"class_type": "LoadAudio", "inputs": {"audio": "text.wav"}},
        "9": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "s"}},
    });
    assert_eq!(client.run(&broken).await?["status"]["status_str"], "error");
    Ok(())
}

#[tokio::test]
async fn pictures_and_latents_take_the_sizes_that_are_asked_for() -> Result {
    let sim = Sim::start(Options::default())?;
    let client = Client::of(&sim);
    upload(&client, "red.png", png(RED), &[]).await?;
    let mut scaled = image_to_image("red.png", 0.5);
    scaled["11"] = json!({"class_type": "ImageScaleToTotalPixels", "inputs": {
        "image": ["10", 0], "upscale_method": "lanczos", "megapixels": 0.0625, "resolution_steps": 1,
    }});
    scaled["5"]["inputs"]["pixels"] = json!(["11", 0]);
    scaled["12"] = json!({"class_type": "RepeatLatentBatch", "inputs": {"samples": ["5", 0], "amount": 3}});
    scaled["3"]["inputs"]["latent_image"] = json!(["12", 0]);
    let history = client.run(&scaled).await?;
    assert_eq!(history["outputs"]["9"]["images"].as_array().unwrap().len(), 3, "{history}");
    let sampling = &sim.samplings()[0];
    assert_eq!(
        (&sampling["width"], &sampling["height"], &sampling["batch"]),
        (&json!(256), &json!(256), &json!(3))
    );
    Ok(())
}
