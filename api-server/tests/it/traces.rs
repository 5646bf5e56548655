//! Traces by OTLP: the request's span, and the context that its job carries.

use crds::names::ANNOTATION_TRACEPARENT;
use reqwest::StatusCode;
use serde_json::json;
use testkit::{Collector, SpanSeen, free_port, wait_for};

use crate::rig::{PATIENCE, Rig, answer, picture};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
/// Batches leave soon.
const SOON: &str = "OTEL_BSP_SCHEDULE_DELAY=100";

async fn span_of(collector: &Collector, name: &str) -> SpanSeen {
    let find = async || collector.spans().into_iter().find(|span| span.name == name);
    wait_for("the span of the request", PATIENCE, find).await.unwrap()
}

fn to(url: &str) -> String {
    format!("OTEL_EXPORTER_OTLP_ENDPOINT={url}")
}

#[tokio::test]
async fn a_request_with_a_trace_has_a_span_in_it_and_its_job_goes_on_with_it() {
    let rig = Rig::start().await;
    let (key, collector) = (rig.tenant_with_key("acme", json!({})).await, Collector::start().await.unwrap());
    let replica = rig.replica_in(&[&to(&collector.url()), SOON, "LOG_FORMAT=json"], &[]).await;
    let ask = || {
        let request =
            rig.post(&replica, "/v1/jobs?secret=inthequery", &key).json(&picture("a secret lighthouse"));
        request.header("idempotency-key", "one")
    };

    let request =
        ask().header("traceparent", format!("00-{TRACE}-{CALLER}-01")).header("tracestate", "vendor=1");
    let created = answer(request).await;

    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let span = span_of(&collector, "POST /v1/jobs").await;
    assert_eq!((&*span.trace_id, &*span.parent_id, &*span.service), (TRACE, CALLER, "api-server"));
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/v1/jobs"),
        ("http.response.status_code", "201"),
        ("imagejob.front", "v1"),
    ] {
        assert_eq!(span.attributes.get(name).map(String::as_str), Some(value), "{span:#?}");
    }
    let id = created.json["id"].as_str().unwrap();
    let job = rig.jobs().get(id).await.unwrap();
    let annotations = job.metadata.annotations.unwrap();
    assert_eq!(annotations[ANNOTATION_TRACEPARENT], format!("00-{TRACE}-{}-01", span.span_id));
    assert!(replica.said().contains(&format!("\"trace_id\":\"{TRACE}\"")), "lines name their trace");

    // The same request again comes with another trace, and meets the same job. An invalid header is no parent.
    let again = answer(ask().header("traceparent", "00-what-is-this")).await;
    assert_eq!((again.status.is_success(), &again.json["id"]), (true, &created.json["id"]), "{again:?}");
    let roots = async || {
        collector.spans().into_iter().find(|span| span.name == "POST /v1/jobs" && span.parent_id.is_empty())
    };
    let root = wait_for("the second span", PATIENCE, roots).await.unwrap();
    assert_ne!(root.trace_id, TRACE);

    answer(rig.get(&replica, &format!("/k/{key}/v1/jobs/{id}"), "none")).await;
    let span = span_of(&collector, "GET /v1/jobs/{id}").await;
    assert_eq!(span.attributes["http.response.status_code"], "200");
    let all = format!("{:?}", collector.spans());
    for secret in [key.as_str(), "secret", "lighthouse", "inthequery"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[tokio::test]
async fn a_trace_that_is_not_sampled_is_not_exported_and_its_job_says_so() {
    let rig = Rig::start().await;
    let (key, collector) = (rig.tenant_with_key("acme", json!({})).await, Collector::start().await.unwrap());
    let replica = rig.replica_in(&[&to(&collector.url()), SOON], &[]).await;
    let ask = async |flags: &str| {
        let request = rig.post(&replica, "/v1/jobs", &key).json(&picture("a cat"));
        let created = answer(request.header("traceparent", format!("00-{TRACE}-{CALLER}-{flags}"))).await;
        let job = rig.jobs().get(created.json["id"].as_str().unwrap()).await.unwrap();
        job.metadata.annotations.unwrap().remove(ANNOTATION_TRACEPARENT).unwrap()
    };
    let (without, with) = (ask("00").await, ask("01").await);
    assert!(without.starts_with(&format!("00-{TRACE}-")) && without.ends_with("-00"), "{without}");
    assert!(with.ends_with("-01"), "{with}");
    span_of(&collector, "POST /v1/jobs").await;
    assert_eq!(collector.spans().len(), 1, "{:#?}", collector.spans());
}

#[tokio::test]
async fn without_a_collector_or_with_one_that_is_away_jobs_are_created_as_ever() {
    let rig = Rig::start().await;
    let key = rig.tenant_with_key("acme", json!({})).await;
    let nobody = format!("http://127.0.0.1:{}", free_port().unwrap());
    let off = rig.replica_in(&[], &[]).await;
    let away = rig.replica_in(&[&to(&nobody), SOON], &[]).await;
    let wrong = rig.replica_in(&[&to("not a URL"), SOON], &[]).await;
    for (replica, traced) in [(&off, false), (&away, true), (&wrong, false)] {
        for _ in 0..5 {
            let created = answer(
                rig.post(replica, "/v1/jobs", &key)
                    .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
                    .json(&picture("a cat")),
            )
            .await;
            assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
            let job = rig.jobs().get(created.json["id"].as_str().unwrap()).await.unwrap();
            assert_eq!(job.metadata.annotations.unwrap().contains_key(ANNOTATION_TRACEPARENT), traced);
        }
    }
    let lines = |words: &str| away.said().matches(words).count();
    wait_for("a line that says so", PATIENCE, async || (lines("does not take spans") > 0).then_some(()))
        .await
        .unwrap();
    let spans = answer(rig.get(&away, "/v1/jobs", &key)).await;
    assert_eq!(spans.status, StatusCode::OK);
    assert_eq!(lines("does not take spans"), 1, "{}", away.said());
    assert!(wrong.said().contains("traces are not exported"), "{}", wrong.said());
}
