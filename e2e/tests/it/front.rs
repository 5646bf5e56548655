//! The HTTP API in front of all: from a request to a picture.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::{MODEL, Studio, World};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use testkit::wait_for;

use crate::SOON;

/// A studio whose jobs may be several tenants'.
pub(crate) async fn shared_studio<'a>(
    world: &'a World,
    name: &str,
    change: impl FnOnce(&mut Value),
) -> Result<Studio<'a>> {
    let studio = Studio::open(world, name, |spec| {
        spec["output"]["keyPrefix"] = format!("{name}/").into();
        spec["fairness"]["tenancy"] = "Field".into();
        change(spec);
    });
    studio.await
}

pub(crate) async fn a_picture_is_asked_for_waited_for_and_fetched(world: &World) -> Result<()> {
    let studio = shared_studio(world, "front", |_| ()).await?;
    world.tenant("acme", &studio.namespace, &json!({})).await?;
    let (key, url) = (world.api_key("acme")?, world.api_url().await?);
    let http = Client::new();
    let text = json!({ "model": MODEL, "prompt": "a lighthouse at dusk", "steps": 20 });
    let order = json!({ "work": { "textToImage": text }, "labels": { "order": "4711" } });
    let posted = http
        .post(format!("{url}/v1/jobs"))
        .bearer_auth(&key)
        .header("prefer", "wait=60")
        .json(&order)
        .send()
        .await?;
    let status = posted.status();
    let job: Value = posted.json().await?;
    ensure!(status == StatusCode::CREATED && job["state"] == "completed", "{status}: {job:#}");
    ensure!(
        job["results"][0]["outputs"][0]["mediaType"] == "image/png" && job["cost"]["amount"] != "0.00",
        "{job:#}"
    );
    let id = job["id"].as_str().context("no id")?;
    let picture = http
        .get(format!("{url}/v1/jobs/{id}/results/0/0"))
        .bearer_auth(&key)
        .send()
        .await?
        .error_for_status()?;
    let picture = picture.bytes().await?;
    ensure!(picture.starts_with(b"\x89PNG"), "no PNG: {} bytes", picture.len());
    // What the HTTP API made is an ImageJob as any other.
    ensure!(studio.ended(id, SOON).await?.ready().0 == "Completed");

    // A picture is handed in, and another made from it.
    let upload = http
        .post(format!("{url}/v1/files"))
        .bearer_auth(&key)
        .header("content-type", "image/png")
        .body(picture);
    let upload: Value = upload.send().await?.error_for_status()?.json().await?;
    let again =
        json!({ "model": MODEL, "prompt": "the lighthouse in deep snow", "steps": 20, "image": "photo" });
    let order = json!({ "work": { "imageToImage": again }, "inputs": [{ "name": "photo", "from": { "file": upload["id"] } }] });
    let posted = http
        .post(format!("{url}/v1/jobs"))
        .bearer_auth(&key)
        .header("prefer", "wait=60")
        .json(&order)
        .send()
        .await?;
    let job: Value = posted.json().await?;
    ensure!(job["state"] == "completed" && job["results"][0]["outputs"][0]["width"] == 512, "{job:#}");

    // A second one is watched while it is made.
    let slow = json!({ "work": { "textToImage": { "model": MODEL, "prompt": "a slow one", "steps": 400 } } });
    let job: Value =
        http.post(format!("{url}/v1/jobs")).bearer_auth(&key).json(&slow).send().await?.json().await?;
    let id = job["id"].as_str().context("no id")?;
    let mut events =
        http.get(format!("{url}/v1/jobs/{id}/events")).bearer_auth(&key).send().await?.error_for_status()?;
    let mut text = String::new();
    while let Some(piece) = tokio::time::timeout(SOON, events.chunk()).await?? {
        text.push_str(std::str::from_utf8(&piece)?);
    }
    let frames: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    let between = |frame: &&Value| frame["progress"].as_f64().is_some_and(|done| done > 0.0 && done < 1.0);
    ensure!(frames.iter().any(|frame| between(&frame) && frame["running"][0]["steps"] == 400), "{text}");
    ensure!(
        frames.last().is_some_and(|last| last["job"]["state"] == "completed" && last["progress"] == 1.0),
        "{text}"
    );
    Ok(())
}

/// Two keys, one fleet, weights 4 : 1.
pub(crate) async fn a_tenant_that_pays_for_four_shares_gets_four(world: &World) -> Result<()> {
    let studio = shared_studio(world, "shares", |spec| {
        spec["fairness"]["tenants"] = json!([{ "name": "gold", "weight": 4 }]);
        spec["fleets"][0]["max"] = json!(2);
        spec["fleets"][1]["max"] = json!(0);
        spec["classes"] =
            json!([{ "name": "standard", "default": true, "slaSeconds": 3600, "fleets": ["spot"] }]);
    })
    .await?;
    let (http, url) = (Client::new(), world.api_url().await?);
    let mut jobs = vec![];
    for tenant in ["gold", "basic"] {
        world.tenant(tenant, &studio.namespace, &json!({})).await?;
        let key = world.api_key(tenant)?;
        let text = json!({ "model": MODEL, "prompt": tenant, "steps": 10 });
        let order = json!({ "work": { "textToImage": text }, "count": 400 });
        let job: Value =
            http.post(format!("{url}/v1/jobs")).bearer_auth(&key).json(&order).send().await?.json().await?;
        jobs.push(job["id"].as_str().with_context(|| format!("{job:#}"))?.to_owned());
    }
    // Both have work all the time; what counts is what is made while both wait.
    let queue = studio.queue().await?;
    let mut uids = vec![];
    for job in &jobs {
        uids.push(queue::JobUid(
            studio.api::<crds::ImageJob>().get(job).await?.metadata.uid.context("no uid")?,
        ));
    }
    let made = async |uid| queue.job(uid).await.ok().flatten().map_or(0, |state| state.succeeded);
    let [gold, basic] = wait_for("a hundred images of both together", Duration::from_secs(180), async || {
        let counts = [made(&uids[0]).await, made(&uids[1]).await];
        (counts.iter().sum::<u32>() >= 100).then_some(counts)
    })
    .await?;
    let share = f64::from(gold) / f64::from(gold + basic);
    ensure!((0.74..=0.86).contains(&share), "gold has {gold}, basic {basic}: {share:.2} instead of 0.80");
    for job in &jobs {
        studio.delete(job).await?;
    }
    Ok(())
}
