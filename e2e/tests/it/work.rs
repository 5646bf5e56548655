//! What jobs can ask for besides a picture from a text, and what comes of it.

use anyhow::{Context as _, Result, ensure};
use crds::{ImageJob, ImageRecipe, OutputFile, conditions::JobReason};
use e2e::{MODEL, Studio, World, graph, picture, text_to_image, workflow};
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::{
    SOON,
    inputs::stencil,
    stage::{own_studio, studio},
};

pub(crate) async fn a_picture_is_made_from_a_picture_of_another_job(world: &World) -> Result<()> {
    let studio = studio(world).await?;
    let painted = |mask: Option<&str>| {
        let mut work = json!({ "model": MODEL, "prompt": "an oil painting", "steps": 4, "seed": 7,
                               "image": "photo", "strength": "0.5" });
        let mut inputs = vec![json!({ "name": "photo", "from": { "job": { "name": "beach" } } })];
        if let Some(mask) = mask {
            work["mask"] = "mask".into();
            inputs.push(
                json!({ "name": "mask", "from": { "configMapKey": { "name": mask, "key": "mask.png" } } }),
            );
        }
        json!({ "work": { "type": "ImageToImage", "imageToImage": work }, "inputs": inputs })
    };
    studio.submit("painted", painted(None)).await?;
    let message = studio.reason("painted", JobReason::InputNotFound, SOON).await?;
    ensure!(message.contains("ImageJob") && message.contains("beach does not exist (yet)"), "{message}");
    studio.submit("beach", text_to_image("a beach", 4, 1)).await?;
    let beach = studio.complete("beach", SOON).await?;
    let made = studio.complete("painted", SOON).await?;
    made.check_made_once(world).await?;
    ensure!(made.pixels(0).await? != beach.pixels(0).await?, "it is the picture it was made from");
    ensure!(made.file(0)?.width == beach.file(0)?.width, "{:?}", made.file(0)?);

    config_map_with_mask(&studio, "stencil").await?;
    studio.submit("retouched", painted(Some("stencil"))).await?;
    let retouched = studio.complete("retouched", SOON).await?;
    ensure!(retouched.pixels(0).await? != made.pixels(0).await?, "the mask changes nothing");

    let control =
        json!({ "model": "control_v11p_sd15_canny.safetensors", "image": "edges", "strength": "0.9" });
    let mut guided = picture(&json!({ "model": MODEL, "prompt": "a house", "steps": 4, "seed": 7,
                                      "controlNets": [control] }));
    guided["inputs"] = json!([{ "name": "edges", "from": { "job": { "name": "beach" } } }]);
    studio.submit("guided", guided).await?;
    studio.complete("guided", SOON).await?.check_made_once(world).await
}

async fn config_map_with_mask(studio: &Studio<'_>, name: &str) -> Result<()> {
    let map = json!({ "metadata": { "name": name } });
    let mut map: k8s_openapi::api::core::v1::ConfigMap = serde_json::from_value(map)?;
    map.binary_data = Some([("mask.png".to_owned(), k8s_openapi::ByteString(stencil()?))].into());
    studio.api().create(&PostParams::default(), &map).await?;
    Ok(())
}

pub(crate) async fn a_recipe_is_used_by_name_and_says_what_it_takes(world: &World) -> Result<()> {
    let studio = studio(world).await?;
    let job = |inputs: Value| json!({ "work": { "type": "Recipe", "recipe": { "name": "inked", "inputs": inputs } } });
    studio.submit("woodcut", job(json!({ "prompt": "a heron", "steps": 4 }))).await?;
    let message = studio.reason("woodcut", JobReason::RecipeNotFound, SOON).await?;
    ensure!(message.contains("inked does not exist (yet)"), "{message}");
    let mut graph = graph(MODEL);
    graph["10"] = json!({ "class_type": "LoraLoader", "inputs": {
        "model": ["4", 0], "clip": ["4", 1], "lora_name": "ink.safetensors",
        "strength_model": 1.0, "strength_clip": 1.0 } });
    graph["3"]["inputs"]["model"] = json!(["10", 0]);
    let recipe = json!({
        "metadata": { "name": "inked" },
        "spec": { "graph": graph, "outputs": ["9"], "unitsFrom": ["steps"], "cutAt": "3", "inputs": [
            { "name": "prompt", "type": "String", "to": ["6.text"], "required": true },
            { "name": "steps", "type": "Integer", "to": ["3.steps"], "minimum": 1, "maximum": 30, "default": 8 },
            { "name": "ink", "type": "Number", "to": ["10.strength_model", "10.strength_clip"], "default": "0.8" },
            { "name": "seed", "type": "Seed", "to": ["3.seed"] } ] },
    });
    let recipe: ImageRecipe = serde_json::from_value(with_kind(recipe, "ImageRecipe"))?;
    studio.api::<ImageRecipe>().create(&PostParams::default(), &recipe).await?;
    studio.complete("woodcut", SOON).await?.check_made_once(world).await?;

    let strong = json!({ "prompt": "a heron", "steps": 4, "ink": "0.1", "seed": "18446744073709551615" });
    studio.submit("faint", job(strong)).await?;
    let faint = studio.complete("faint", SOON).await?;
    ensure!(faint.result(0)?.seed == Some(u64::MAX), "{:?}", faint.results());

    for (inputs, expected) in [
        (json!({ "steps": 4 }), "spec.work.recipe.inputs.prompt: it is required"),
        (json!({ "prompt": "x", "steps": 31 }), "spec.work.recipe.inputs.steps:"),
        (json!({ "prompt": "x", "step": 4 }), "did you mean \"steps\"?"),
    ] {
        studio.submit("wrong", job(inputs)).await?;
        let (reason, message) = studio.ended("wrong", SOON).await?.ready();
        ensure!(
            reason == JobReason::WorkflowInvalid.as_str() && message.contains(expected),
            "{reason}: {message}"
        );
        studio.delete("wrong").await?;
    }
    Ok(())
}

fn with_kind(mut object: Value, kind: &str) -> Value {
    object["apiVersion"] = "imagejob.dev/v1alpha1".into();
    object["kind"] = kind.into();
    object
}

pub(crate) async fn files_of_every_kind_are_listed_as_what_they_are(world: &World) -> Result<()> {
    let studio = studio(world).await?;
    let mut clip = graph(MODEL);
    clip["5"]["inputs"]["batch_size"] = 4.into();
    clip["12"] = json!({ "class_type": "SaveAnimatedWEBP", "inputs": {
        "images": ["8", 0], "filename_prefix": "clips/wave", "fps": 8.0, "lossless": true, "quality": 80,
        "method": "default" } });
    let mut spec = workflow(&clip);
    spec["work"]["workflow"]["outputs"] = json!(["12", "9"]);
    studio.submit("wave", spec).await?;
    let wave = studio.complete("wave", SOON).await?;
    let files = &wave.result(0)?.outputs;
    let kinds: Vec<_> = files.iter().map(|file| (file.node.as_str(), file.media_type.as_str())).collect();
    ensure!(kinds.first() == Some(&("12", "image/webp")) && kinds.len() == 5, "{kinds:?}");
    let first = files.first().context("a file")?;
    ensure!(first.name == "wave_00000.webp" && first.key.ends_with(".webp"), "{first:?}");
    ensure!(first.duration_seconds.is_some_and(|seconds| seconds.thousandths() == 500), "{first:?}");
    ensure!(kinds.iter().skip(1).all(|kind| *kind == ("9", "image/png")), "{kinds:?}");
    let answer = as_stored(first).await?;
    ensure!(answer == ("image/webp".to_owned(), first.bytes), "{answer:?} of {first:?}");
    let timings = wave.result(0)?.timings.context("no timings")?;
    ensure!(timings.load_ms + timings.sample_ms + timings.decode_ms > 0, "{timings:?}");

    let mut small = picture(&json!({ "model": MODEL, "prompt": "a stamp", "steps": 4 }));
    small["output"] = json!({ "format": "webp", "quality": 60 });
    studio.submit("stamp", small).await?;
    let stamp = studio.complete("stamp", SOON).await?;
    let file = stamp.file(0)?;
    ensure!(file.media_type == "image/webp" && file.width == Some(512), "{file:?}");
    Ok(())
}

pub(crate) async fn a_clip_and_a_sound_carry_the_jobs_labels_and_the_graph_where_it_is_kept(
    world: &World,
) -> Result<()> {
    let studio = studio(world).await?;
    let mut film = graph(MODEL);
    film["12"] = json!({ "class_type": "CreateVideo", "inputs": { "images": ["8", 0], "fps": 8 } });
    film["13"] = json!({ "class_type": "SaveVideo", "inputs": {
        "video": ["12", 0], "filename_prefix": "film", "format": "mp4", "format.codec": "h264" } });
    film["14"] = json!({ "class_type": "EmptyAudio", "inputs": {
        "duration": 1.0, "sample_rate": 44100, "channels": 2 } });
    film["15"] =
        json!({ "class_type": "SaveAudio", "inputs": { "audio": ["14", 0], "filename_prefix": "sound" } });
    for (name, kept) in [("plain", "Strip"), ("with-graph", "Keep")] {
        let mut spec = workflow(&film);
        spec["output"] = json!({ "metadata": kept });
        let mut job = ImageJob::new(name, serde_json::from_value(spec)?);
        job.metadata.labels = Some([("campaign".to_owned(), "spring".to_owned())].into());
        studio.api().create(&PostParams::default(), &job).await?;
        let made = studio.complete(name, SOON).await?;
        made.check_made_once(world).await?;
        let files = &made.result(0)?.outputs;
        let kinds: Vec<&str> = files.iter().map(|file| file.media_type.as_str()).collect();
        ensure!(kinds == ["image/png", "video/mp4", "audio/flac"], "{kinds:?}");
        for file in files {
            let answer = reqwest::get(&file.url).await?.error_for_status()?;
            let labels = answer.headers().get("x-amz-meta-labels").map(|labels| labels.as_bytes().to_owned());
            ensure!(labels.as_deref() == Some(b"campaign=spring"), "{}: {labels:?}", file.name);
            let content = answer.bytes().await?;
            let told = content.windows(9).any(|text| text == b"a harbour");
            ensure!(told == (kept == "Keep"), "{name}: the prompt is in {}: {told}", file.name);
        }
    }
    Ok(())
}

/// The content type and the size with which the bucket gives a file out.
async fn as_stored(file: &OutputFile) -> Result<(String, u64)> {
    let answer = reqwest::get(&file.url).await?.error_for_status()?;
    let kind = answer.headers().get("content-type").context("no content type")?.to_str()?.to_owned();
    Ok((kind, answer.bytes().await?.len() as u64))
}

pub(crate) async fn what_a_pool_does_not_allow_waits_until_it_does(world: &World) -> Result<()> {
    let studio = own_studio(world, "limits").await?;
    studio.change_pool(json!({ "limits": { "maxCount": 2, "workflows": false, "maxSteps": 30 } })).await?;
    studio.submit("many", text_to_image("stamps", 4, 3)).await?;
    let message = studio.reason("many", JobReason::LimitExceeded, SOON).await?;
    ensure!(message.contains("3 images, and the pool allows at most 2"), "{message}");
    studio.submit("graph", workflow(&graph(MODEL))).await?;
    studio.reason("graph", JobReason::LimitExceeded, SOON).await?;
    let mut soon = text_to_image("a train", 4, 1);
    soon["dueWithinSeconds"] = 1.into();
    studio.submit("soon", soon).await?;
    studio.reason("soon", JobReason::DueTooSoon, SOON).await?;
    studio.change_pool(json!({ "limits": { "maxCount": 3, "workflows": true } })).await?;
    studio.complete("many", SOON).await?.check_made_once(world).await?;
    studio.complete("graph", SOON).await?;
    studio.delete("soon").await
}

pub(crate) async fn a_workflow_that_would_make_one_picture_several_times_is_refused(
    world: &World,
) -> Result<()> {
    let studio = studio(world).await?;
    let plain = json!({
        "1": { "class_type": "EmptyImage", "inputs": { "width": 64, "height": 64, "batch_size": 1, "color": 77 } },
        "9": { "class_type": "SaveImage", "inputs": { "images": ["1", 0], "filename_prefix": "x" } },
    });
    let mut spec = workflow(&plain);
    spec["count"] = 2.into();
    studio.submit("twins", spec.clone()).await?;
    let (reason, message) = studio.ended("twins", SOON).await?.ready();
    ensure!(reason == JobReason::WorkflowInvalid.as_str() && message.contains("sameSeed: true"), "{message}");
    spec["sameSeed"] = true.into();
    studio.submit("wanted-twins", spec).await?;
    studio.complete("wanted-twins", SOON).await?.check_made_once(world).await?;

    let mut misspelt = workflow(&graph(MODEL));
    misspelt["work"]["workflow"]["inputs"] = json!({ "6.txt": "a harbour" });
    studio.submit("misspelt", misspelt).await?;
    let (_, message) = studio.ended("misspelt", SOON).await?.ready();
    ensure!(
        message.contains(
            "node 6 (CLIPTextEncode) has no input \"txt\"; it has clip, text; did you mean \"text\"?"
        ),
        "{message}"
    );
    Ok(())
}
