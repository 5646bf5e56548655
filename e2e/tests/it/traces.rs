//! Traces by OTLP, through all programs.

use anyhow::{Context as _, Result, ensure};
use e2e::{EngineOptions, MODEL, World, WorldOptions};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use testkit::{Collector, SpanSeen, wait_for};

use crate::{SOON, front::shared_studio};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

pub(crate) async fn a_request_is_one_trace_from_the_api_to_the_upload() -> Result<()> {
    let collector = Collector::start().await?;
    let options = WorldOptions {
        engine: EngineOptions::quick(),
        api_servers: 1,
        collector: Some(collector.url()),
        ..WorldOptions::default()
    };
    let world = World::start(&options).await?;
    let played = play(&world, &collector).await;
    played.with_context(|| world.dump())
}

async fn play(world: &World, collector: &Collector) -> Result<()> {
    let studio = shared_studio(world, "traced", |spec| {
        spec["worker"]["env"] = json!([
            { "name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": collector.url() },
            { "name": "OTEL_BSP_SCHEDULE_DELAY", "value": "100" },
        ]);
    })
    .await?;
    world.tenant("acme", &studio.namespace, &json!({})).await?;
    let (key, url) = (world.api_key("acme")?, world.api_url().await?);
    let text = json!({ "model": MODEL, "prompt": "a lighthouse at dusk", "steps": 10 });
    let posted = Client::new()
        .post(format!("{url}/v1/jobs"))
        .bearer_auth(&key)
        .header("prefer", "wait=60")
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .json(&json!({ "work": { "textToImage": text } }))
        .send()
        .await?;
    let status = posted.status();
    let job: Value = posted.json().await?;
    ensure!(status == StatusCode::CREATED && job["state"] == "completed", "{status}: {job:#}");

    let of_trace = || collector.spans().into_iter().filter(|span| span.trace_id == TRACE).collect::<Vec<_>>();
    let has = |spans: &[SpanSeen], name: &str| spans.iter().any(|span| span.name == name);
    let all = wait_for("the spans of all programs", SOON, async || {
        let spans = of_trace();
        (has(&spans, "image") && has(&spans, "POST /v1/jobs") && has(&spans, "accept")).then_some(spans)
    });
    let all = all.await.with_context(|| format!("{:#?}", collector.spans()))?;
    let mut parent = CALLER.to_owned();
    for (service, name) in [
        ("api-server", "POST /v1/jobs"),
        ("operator", "accept"),
        ("gpu-worker", "image"),
        ("gpu-worker", "upload"),
    ] {
        let span = all.iter().find(|span| span.name == name).with_context(|| format!("{name}: {all:#?}"))?;
        ensure!(
            span.service == service && span.parent_id == parent && !span.failed,
            "{name} is no child of the step before: {all:#?}"
        );
        parent.clone_from(&span.span_id);
    }
    ensure!(!format!("{all:?}").contains("lighthouse"), "a prompt is in no span: {all:#?}");
    Ok(())
}
