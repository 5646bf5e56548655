//! Traces by OTLP: the spans of an attempt at an image.

use testkit::{Collector, SpanSeen, free_port, wait_for};

use crate::rig::{PATIENCE, Rig, picture, steps_of};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const JOB: &str = "00f067aa0ba902b7";
/// Batches leave soon.
const SOON: &str = "OTEL_BSP_SCHEDULE_DELAY=100";

fn traced() -> Option<String> {
    Some(format!("00-{TRACE}-{JOB}-01"))
}

/// All spans, once that of an image is among them.
async fn spans(collector: &Collector) -> (SpanSeen, Vec<SpanSeen>) {
    wait_for("the span of the image", PATIENCE, async || {
        let all = collector.spans();
        let image = all.iter().find(|span| span.name == "image").cloned();
        image.map(|image| (image, all))
    })
    .await
    .expect("exported")
}

#[tokio::test]
async fn an_image_has_spans_in_the_trace_of_its_job() {
    let rig = Rig::start(steps_of(20)).await;
    let collector = Collector::start().await.expect("a collector");
    let endpoint = format!("OTEL_EXPORTER_OTLP_ENDPOINT={}", collector.url());
    let worker = rig.worker_with(&[&endpoint, SOON, "OTEL_SERVICE_NAME=painter"]);
    worker.is_ready().await;

    let job = rig.enqueue(picture(10), |_, spec| spec.traceparent = traced()).await;
    rig.outcomes(&job, 1).await;

    let (image, all) = spans(&collector).await;
    assert_eq!((&*image.trace_id, &*image.parent_id, &*image.service), (TRACE, JOB, "painter"));
    for (name, value) in [
        ("imagejob.job", job.0.as_str()),
        ("imagejob.index", "0"),
        ("imagejob.attempt", "1"),
        ("imagejob.pool", "studio/sd15"),
        ("imagejob.capacity", "spot"),
        ("imagejob.outcome", "completed"),
    ] {
        assert_eq!(image.attributes.get(name).map(String::as_str), Some(value), "{image:#?}");
    }
    for name in ["inputs", "generate", "collect", "upload"] {
        let of_name: Vec<_> = all.iter().filter(|span| span.name == name).collect();
        let [span] = of_name[..] else { panic!("{name}: {all:#?}") };
        assert_eq!((&span.trace_id, &span.parent_id), (&image.trace_id, &image.span_id), "{name}");
        assert!(image.began_ns <= span.began_ns && span.ended_ns <= image.ended_ns, "{name}: {all:#?}");
    }
    let generate = all.iter().find(|span| span.name == "generate").expect("checked above");
    assert!(generate.ended_ns - generate.began_ns >= 200_000_000, "ten steps of 20 ms: {generate:?}");
    let text = format!("{all:?}");
    assert!(!text.contains("lighthouse") && !text.contains("blurry"), "{text}");
}

#[tokio::test]
async fn an_attempt_that_is_interrupted_says_so_and_is_exported_before_the_end() {
    let rig = Rig::start(steps_of(200)).await;
    let collector = Collector::start().await.expect("a collector");
    let endpoint = format!("OTEL_EXPORTER_OTLP_ENDPOINT={}", collector.url());
    // Only the flush at the end exports anything.
    let mut worker = rig.worker_with(&["--drain-grace=8", &endpoint, "OTEL_BSP_SCHEDULE_DELAY=600000"]);
    rig.enqueue(picture(100), |_, spec| spec.traceparent = traced()).await;
    rig.at_step(2).await;

    worker.terminate();

    assert!(worker.exit().await.success());
    let (image, all) = spans(&collector).await;
    assert_eq!((&*image.trace_id, &*image.attributes["imagejob.outcome"]), (TRACE, "interrupted"));
    assert!(all.iter().any(|span| span.name == "generate" && span.parent_id == image.span_id), "{all:#?}");
}

#[tokio::test]
async fn images_are_made_while_the_collector_is_away_and_a_bad_trace_is_ignored() {
    let rig = Rig::start(steps_of(1)).await;
    let nobody = format!("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{}", free_port().expect("a port"));
    let mut worker = rig.worker_with(&[&nobody, SOON, "RUST_LOG=info"]);
    worker.is_ready().await;

    let job = rig.enqueue(picture(4), |job, spec| {
        job.total = 4;
        spec.traceparent = Some("00-nonsense".to_owned());
    });
    let job = job.await;
    let outcomes = rig.outcomes(&job, 4).await;

    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()), "{outcomes:?}");
    let said = || worker.log().matches("does not take spans").count();
    wait_for("a line that says so", PATIENCE, async || (said() > 0).then_some(())).await.expect("said");
    assert_eq!(said(), 1);
    worker.terminate();
    assert!(worker.exit().await.success());
}
