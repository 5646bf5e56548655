//! The last task of a job with many images: a worker lists them.

use anyhow::{Context, Result};
use queue::{EventKind, Job, JobState, Reason, Release, Results, StoredObject, TaskKind, Written};

use crate::setup::{Fixture, Worker, error, failed, raw, start, tasks, uid, worker};

fn listed(name: &str, total: u32) -> Job {
    Job { listing: true, ..tasks(name, total) }
}

fn stored() -> StoredObject {
    StoredObject { key: "generated/a.json".into(), url: None, etag: "e".into(), bytes: 7 }
}

async fn make_all(q: &Fixture, name: &str, images: u32) -> Result<()> {
    for _ in 0..images {
        let lease = q.must_claim(name).await?;
        assert_eq!(lease.kind, TaskKind::Image);
        q.finish(name, &lease).await?;
    }
    Ok(())
}

#[tokio::test]
async fn after_its_last_image_a_job_is_listed_and_then_finished() -> Result<()> {
    let q = start().await?;
    let mut results = Results::open(&q, "operator").await?;
    q.enqueue(&listed("a", 3)).await?;
    make_all(&q, "w", 3).await?;
    let state = q.state("a").await?;
    assert_eq!((state.succeeded, state.waiting, state.running), (3, 0, 0));
    assert_eq!((state.finished, state.listing), (false, None));
    // Somebody has to do it, perhaps after all workers have gone.
    let backlog = q.stats().await?.backlog;
    assert_eq!((backlog.len(), backlog[0].tasks, backlog[0].units), (1, 1, 0.0));

    let lease = q.must_claim("v").await?;
    assert_eq!((lease.kind, lease.task.index, lease.model.as_str()), (TaskKind::Listing, 3, ""));
    assert_eq!(q.renew("v", &lease).await?, queue::Renewed::Keep);
    assert_eq!(q.outcomes(&uid("a"), 0, 10).await?.len(), 3, "what it is to list");
    let seen = q.stats().await?;
    assert_eq!((seen.leases[0].kind, seen.backlog.len()), (TaskKind::Listing, 0));
    for _ in 0..2 {
        let written = q.complete_listing(&worker("v"), &lease.task, lease.attempt, &stored()).await?;
        assert_eq!(written, Written::Accepted, "however often it is said");
    }
    let state = q.state("a").await?;
    assert_eq!((state.finished, state.listing, state.succeeded), (true, Some(Ok(stored())), 3));
    let mut kinds = Vec::new();
    while kinds.last() != Some(&EventKind::Finished) {
        let events = results.next(99, crate::setup::DEADLINE).await?;
        kinds.extend(events.iter().map(|event| event.kind));
        results.ack(events.iter().map(|event| event.id.as_str())).await?;
    }
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::Finished).count(), 1);
    assert_eq!(q.outcomes(&uid("a"), 0, 10).await?.len(), 3, "the listing is none of the images");
    q.forget(&uid("a")).await?;
    assert_eq!(q.stats().await?.backlog, []);
    Ok(())
}

#[tokio::test]
async fn a_listing_is_made_though_its_worker_goes_away() -> Result<()> {
    let q = start().await?;
    q.enqueue(&listed("a", 1)).await?;
    make_all(&q, "w", 1).await?;
    let lease = q.must_claim("w").await?;
    q.evict(&worker("w")).await?;
    assert_eq!(q.complete_listing(&worker("w"), &lease.task, 1, &stored()).await?, Written::Stale);
    let again = q.must_claim("v").await?;
    assert_eq!((&again.task, again.attempt), (&lease.task, 2));
    q.give_back("v", &again, &failed(0)).await?;
    let again = q.must_claim("v").await?;
    assert_eq!(q.complete_listing(&worker("v"), &again.task, 3, &stored()).await?, Written::Accepted);
    assert!(q.state("a").await?.finished);
    Ok(())
}

#[tokio::test]
async fn a_job_ends_without_its_listing_if_that_can_not_be_stored() -> Result<()> {
    let q = start().await?;
    q.enqueue(&Job { retries: 0, ..listed("a", 1) }).await?;
    make_all(&q, "w", 1).await?;
    let lease = q.must_claim("w").await?;
    let denied = error(Reason::OutputDenied);
    let release = Release::Rejected { error: denied.clone() };
    q.give_back("w", &lease, &release).await?;
    let state = q.state("a").await?;
    assert_eq!((state.finished, state.listing, state.failed), (true, Some(Err(denied)), 0));
    Ok(())
}

#[tokio::test]
async fn only_a_job_with_images_is_listed_also_when_it_was_stopped_or_cancelled() -> Result<()> {
    let q = start().await?;
    q.enqueue(&Job { max_failed_images: Some(0), ..listed("none", 5) }).await?;
    let lease = q.must_claim("w").await?;
    q.give_back("w", &lease, &Release::Rejected { error: error(Reason::NoOutput) }).await?;
    let state = q.state("none").await?;
    assert_eq!((state.finished, state.listing), (true, None));

    q.enqueue(&Job { max_failed_images: Some(0), ..listed("some", 5) }).await?;
    make_all(&q, "w", 1).await?;
    let lease = q.must_claim("w").await?;
    q.give_back("w", &lease, &Release::Rejected { error: error(Reason::NoOutput) }).await?;
    let lease = q.must_claim("w").await?;
    assert_eq!((lease.kind, lease.task.index), (TaskKind::Listing, 5));
    q.complete_listing(&worker("w"), &lease.task, 1, &stored()).await?;
    assert!(q.state("some").await?.finished);

    q.enqueue(&listed("cancelled", 5)).await?;
    make_all(&q, "w", 2).await?;
    q.cancel(&uid("cancelled")).await?;
    let lease = q.must_claim("w").await?;
    assert_eq!(lease.kind, TaskKind::Listing);
    assert_eq!(q.renew("w", &lease).await?, queue::Renewed::Keep, "however long it takes");
    q.complete_listing(&worker("w"), &lease.task, 1, &stored()).await?;
    let state = q.state("cancelled").await?;
    assert_eq!((state.finished, state.listing, state.cancelled), (true, Some(Ok(stored())), 3));

    q.enqueue(&listed("forgotten", 5)).await?;
    make_all(&q, "w", 2).await?;
    q.cancel(&uid("forgotten")).await?;
    let lease = q.must_claim("w").await?;
    q.forget(&uid("forgotten")).await?;
    assert_eq!(q.renew("w", &lease).await?, queue::Renewed::Cancelled);
    Ok(())
}

/// A listing that was made, or waits, does not list what comes of images that are driven again.
#[tokio::test]
async fn a_job_that_is_driven_again_is_listed_again() -> Result<()> {
    let q = start().await?;
    q.enqueue(&Job { retries: 0, ..listed("a", 2) }).await?;
    make_all(&q, "w", 1).await?;
    let lease = q.must_claim("w").await?;
    q.give_back("w", &lease, &failed(0)).await?;
    for listed_before in [false, true] {
        if listed_before {
            let lease = q.must_claim("w").await?;
            q.complete_listing(&worker("w"), &lease.task, lease.attempt, &stored()).await?;
            assert!(q.state("a").await?.finished);
        }
        assert_eq!(q.redrive(&uid("a")).await?, 1);
        let JobState { finished, waiting, listing, .. } = q.state("a").await?;
        assert_eq!((finished, waiting, listing), (false, 1, None));
        let lease = q.must_claim("w").await?;
        assert_eq!(lease.kind, TaskKind::Image);
        q.give_back("w", &lease, &failed(0)).await?;
    }
    assert_eq!(q.must_claim("w").await?.kind, TaskKind::Listing);
    Ok(())
}

/// Its keys in Redis say nothing of a listing that nobody asked for.
#[tokio::test]
async fn a_job_without_a_listing_has_none() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 1)).await?;
    make_all(&q, "w", 1).await?;
    let state = q.state("a").await?;
    assert_eq!((state.finished, state.listing), (true, None));
    let fields: Vec<String> =
        raw(&q.server, redis::cmd("HKEYS").arg("ij2:{studio/sd15}:job:a")).await.context("fields")?;
    assert!(!fields.contains(&"1".to_owned()), "{fields:?}");
    Ok(())
}
