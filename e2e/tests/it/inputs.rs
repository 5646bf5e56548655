//! Files that jobs start from, and where they may come from.

use anyhow::{Result, ensure};
use crds::conditions::JobReason;
use e2e::{MODEL, World, graph, workflow};
use serde_json::{Value, json};

use crate::{SOON, stage::own_studio};

/// Of 512 × 512 pixels, white on its left half.
pub(crate) fn stencil() -> Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 512, 512);
    encoder.set_color(png::ColorType::Grayscale);
    let half: Vec<u8> = (0..512 * 512).map(|at| if at % 512 < 256 { 255 } else { 0 }).collect();
    encoder.write_header()?.write_image_data(&half)?;
    Ok(file)
}

/// A workflow that begins with the picture `photo`.
fn from_photo(source: &Value) -> Value {
    let mut graph = graph(MODEL);
    graph["5"] = json!({ "class_type": "LoadImage", "inputs": { "image": "photo" } });
    graph["10"] = json!({ "class_type": "VAEEncode", "inputs": { "pixels": ["5", 0], "vae": ["4", 2] } });
    graph["3"]["inputs"]["latent_image"] = json!(["10", 0]);
    let mut spec = workflow(&graph);
    spec["inputs"] = json!([{ "name": "photo", "from": source }]);
    spec
}

pub(crate) async fn an_object_of_the_bucket_is_read_below_the_prefixes_that_the_pool_allows(
    world: &World,
) -> Result<()> {
    let studio = own_studio(world, "uploads").await?;
    world.put_object("uploads/in/uploads/photo.png", &stencil()?).await?;
    let upload = from_photo(&json!({ "s3": { "key": "uploads/in/uploads/photo.png" } }));
    studio.submit("upload", upload).await?;
    let message = studio.reason("upload", JobReason::InputNotAllowed, SOON).await?;
    ensure!(message.contains("it allows the prefixes none (spec.inputs.objectPrefixes"), "{message}");
    studio.change_pool(json!({ "inputs": { "objectPrefixes": ["uploads/in/{namespace}/"] } })).await?;
    let upload = studio.complete("upload", SOON).await?;
    ensure!(upload.file(0)?.width == Some(512), "it begins with the picture: {:?}", upload.file(0)?);

    studio.submit("gone", from_photo(&json!({ "s3": { "key": "uploads/in/uploads/gone.png" } }))).await?;
    let gone = studio.ended("gone", SOON).await?;
    let message = failure(&gone.job, "InputRefused")?;
    ensure!(message.contains("the pool's bucket has no object uploads/in/uploads/gone.png"), "{message}");
    world.put_object("uploads/in/uploads/photo.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>").await?;
    studio.submit("drawing", from_photo(&json!({ "s3": { "key": "uploads/in/uploads/photo.svg" } }))).await?;
    let drawing = studio.ended("drawing", SOON).await?;
    let message = failure(&drawing.job, "InputRefused")?;
    ensure!(message.starts_with("input photo: "), "{message}");
    Ok(())
}

/// The rules against servers that mean harm are tested with the worker, against such servers; here, that they are in force.
pub(crate) async fn a_url_is_fetched_from_public_hosts_that_the_pool_allows(world: &World) -> Result<()> {
    let studio = own_studio(world, "hosts").await?;
    let of_url = |url: &str| from_photo(&json!({ "url": url }));
    studio.submit("photo", of_url("https://localhost/photo.png")).await?;
    let message = studio.reason("photo", JobReason::InputNotAllowed, SOON).await?;
    ensure!(message.contains("the pool does not fetch from \"localhost\"; it allows none"), "{message}");
    studio.change_pool(json!({ "inputs": { "hosts": ["localhost"] } })).await?;
    let photo = studio.ended("photo", SOON).await?;
    let message = failure(&photo.job, "InputRefused")?;
    ensure!(message.contains("localhost has an address that is not public"), "{message}");

    let plain = studio.create_as_user("plain", &of_url("http://images.example.com/photo.png")).err();
    let said = plain.map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(said.contains("give an https URL"), "{said}");
    Ok(())
}

/// What is said of the first image that failed, for this reason.
fn failure(job: &crds::ImageJob, reason: &str) -> Result<String> {
    let failures = job.status.iter().flat_map(|status| &status.failures).next().cloned();
    match failures {
        Some(failure) if failure.reason == reason => Ok(failure.message),
        other => anyhow::bail!("{other:?} instead of {reason}: {:?}", job.status),
    }
}
