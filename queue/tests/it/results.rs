//! The results stream and the bell: they wake, and carry nothing.

use std::time::Duration;

use anyhow::Result;
use queue::{Beat, Bell, EventKind, Order, Results, Ring};
use testkit::wait_for;

use crate::setup::{DEADLINE, Worker, failed, job, raw, settings, start, start_hasty, tasks, uid, worker};

const NOW: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(5);

fn kinds(events: &[queue::ResultEvent]) -> Vec<(&str, EventKind)> {
    events.iter().map(|event| (event.job.0.as_str(), event.kind)).collect()
}

#[tokio::test]
async fn the_operator_hears_of_each_turn_of_a_job() -> Result<()> {
    let q = start().await?;
    let mut results = Results::open(&q, "operator-0").await?;
    assert_eq!(results.next(10, NOW).await?, []);
    q.enqueue(&queue::Job { retries: 0, ..tasks("a", 3) }).await?;
    for _ in 0..3 {
        let lease = q.must_claim("w").await?;
        if lease.task.index == 1 {
            q.give_back("w", &lease, &failed(0)).await?;
        } else {
            q.finish("w", &lease).await?;
        }
    }
    let events = results.next(10, LONG).await?;
    use EventKind::{Advanced, Dead, Finished, Started};
    assert_eq!(kinds(&events), [("a", Started), ("a", Advanced), ("a", Dead), ("a", Finished)]);
    results.ack(events.iter().map(|event| event.id.as_str())).await?;
    assert_eq!(results.next(10, NOW).await?, []);

    q.enqueue(&job("b")).await?;
    q.cancel(&uid("b")).await?;
    assert_eq!(kinds(&results.next(10, LONG).await?), [("b", Finished)]);
    Ok(())
}

#[tokio::test]
async fn the_operator_hears_once_of_all_that_a_machine_gives_back() -> Result<()> {
    let q = start().await?;
    let mut results = Results::open(&q, "operator-0").await?;
    q.enqueue(&tasks("a", 3)).await?;
    for _ in 0..2 {
        q.must_claim("w").await?;
    }
    assert_eq!(q.evict(&worker("w")).await?, 2);
    use EventKind::{Returned, Started};
    assert_eq!(kinds(&results.next(10, LONG).await?), [("a", Started), ("a", Returned)]);

    let lease = q.must_claim("other").await?;
    q.give_back("other", &lease, &failed(0)).await?;
    assert_eq!(kinds(&results.next(10, LONG).await?), [("a", Returned)]);
    Ok(())
}

#[tokio::test]
async fn waiting_ends_when_something_happens() -> Result<()> {
    let q = start().await?;
    let mut results = Results::open(&q, "operator-0").await?;
    q.enqueue(&job("a")).await?;
    let (events, claimed) = tokio::join!(results.next(10, LONG), q.must_claim("w"));
    claimed?;
    assert_eq!(kinds(&events?), [("a", EventKind::Started)]);
    Ok(())
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_after_a_restart() -> Result<()> {
    let q = start().await?;
    q.enqueue(&job("a")).await?;
    q.must_claim("w").await?;
    let mut before = Results::open(&q, "operator-0").await?;
    let events = before.next(10, LONG).await?;
    drop(before);
    let mut after = Results::open(&q, "operator-0").await?;
    assert_eq!(after.next(10, NOW).await?, events);
    after.ack(events.iter().map(|event| event.id.as_str())).await?;
    assert_eq!(after.next(10, NOW).await?, []);
    Ok(())
}

#[tokio::test]
async fn what_a_vanished_consumer_took_is_taken_over() -> Result<()> {
    let q = start().await?;
    q.enqueue(&job("a")).await?;
    q.must_claim("w").await?;
    let mut vanished = Results::open(&q, "operator-0").await?;
    let events = vanished.next(10, LONG).await?;
    // As if it had happened long ago.
    let stream = "ij2:{studio/sd15}:results";
    let mut age = redis::cmd("XCLAIM");
    age.arg(stream)
        .arg("operator")
        .arg("operator-0")
        .arg(0)
        .arg(&events[0].id)
        .arg("IDLE")
        .arg(60_000)
        .arg("JUSTID");
    let _: redis::Value = raw(&q.server, &age).await?;
    let mut heir = Results::open(&q, "operator-1").await?;
    assert_eq!(heir.next(10, NOW).await?, events);
    Ok(())
}

#[tokio::test]
async fn a_flushed_redis_does_not_stop_the_consumer() -> Result<()> {
    let q = start().await?;
    let mut results = Results::open(&q, "operator-0").await?;
    let _: redis::Value = raw(&q.server, &redis::cmd("FLUSHALL")).await?;
    q.configure(&settings()).await?;
    q.enqueue(&job("a")).await?;
    q.must_claim("w").await?;
    let events = wait_for("the event", DEADLINE, async || {
        let events = results.next(10, NOW).await.expect("Redis is there");
        (!events.is_empty()).then_some(events)
    })
    .await?;
    assert_eq!(kinds(&events), [("a", EventKind::Started)]);
    Ok(())
}

/// As from a newer worker's program: it says no less than any other that something happened to the job.
#[tokio::test]
async fn an_event_of_an_unknown_kind_is_an_event() -> Result<()> {
    let q = start().await?;
    q.enqueue(&job("a")).await?;
    let mut results = Results::open(&q, "operator-0").await?;
    let mut unknown = redis::cmd("XADD");
    unknown.arg("ij2:{studio/sd15}:results").arg("*").arg("b").arg("in other words");
    let _: String = raw(&q.server, &unknown).await?;
    q.must_claim("w").await?;
    let events = results.next(10, LONG).await?;
    use EventKind::{Other, Started};
    assert_eq!(kinds(&events), [("b", Other), ("a", Started)]);
    results.ack(events.iter().map(|event| event.id.as_str())).await?;
    let mut again = Results::open(&q, "operator-0").await?;
    assert_eq!(again.next(10, NOW).await?, [], "it does not come for ever");
    Ok(())
}

/// What lies between may forget an idle connection without a word to either end.
#[tokio::test]
async fn a_bell_finds_out_that_its_connection_is_dead() -> Result<()> {
    let q = start_hasty().await?;
    let mut proxy = testkit::Proxy::start(format!("127.0.0.1:{}", q.server.port())).await?;
    let redis = queue::Redis::connect(&format!("redis://{}/", proxy.address())).await?;
    let options = queue::Options { lease: crate::setup::SHORT_LEASE };
    let far = queue::Queue::with_options(redis, "studio/sd15", options);
    let mut bell = Bell::open(&far, &worker("w")).await?;
    assert_eq!(bell.wait(NOW).await?, None);
    proxy.set(testkit::Fault::Silent).await;
    q.enqueue(&job("a")).await?;
    wait_for("the bell to find out", DEADLINE, async || bell.wait(LONG).await.err().map(drop)).await?;
    proxy.set(testkit::Fault::None).await;
    let rung = wait_for("the bell to ring for what was missed", DEADLINE, async || {
        bell.wait(LONG).await.ok().flatten()
    });
    rung.await?;
    Ok(())
}

#[tokio::test]
async fn the_bell_rings_for_work_and_for_orders() -> Result<()> {
    let q = start().await?;
    let mut bell = Bell::open(&q, &worker("w")).await?;
    assert_eq!(bell.wait(NOW).await?, None);
    q.enqueue(&job("a")).await?;
    assert_eq!(bell.wait(LONG).await?, Some(Ring::Work));
    // More of the same wakes nobody who is awake already.
    q.enqueue(&job("b")).await?;
    q.order(&worker("other"), Order::Hold).await?;
    assert_eq!(bell.wait(Duration::from_millis(100)).await?, None);
    q.order(&worker("w"), Order::Hold).await?;
    assert_eq!(bell.wait(LONG).await?, Some(Ring::Order));
    assert_eq!(q.beat(&worker("w"), &Beat::default()).await?.order, Order::Hold);

    q.drain("x").await?;
    q.enqueue(&job("c")).await?;
    assert_eq!(bell.wait(LONG).await?, Some(Ring::Work));
    Ok(())
}
