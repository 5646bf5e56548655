//! How far images are that workers have in hand.

use anyhow::{Context, Result};
use queue::{Beat, HeldLease, Job, Lease, NodeProgress, RunningNode};

use crate::setup::{Fixture, Worker, commands, job, raw, start, start_hasty, tasks, uid, worker};

fn at(done: u32, id: &str, class: &str) -> Option<NodeProgress> {
    let running = Some(RunningNode { id: id.into(), class: Some(class.into()) });
    Some(NodeProgress { done, total: 7, running })
}

async fn tell(
    q: &Fixture,
    name: &str,
    lease: &Lease,
    steps: Option<(u32, u32)>,
    nodes: Option<NodeProgress>,
) -> Result<()> {
    let held = HeldLease { task: lease.task.clone(), attempt: lease.attempt, progress: steps, nodes };
    q.beat(&worker(name), &Beat { leases: vec![held], ..Beat::default() }).await?;
    Ok(())
}

#[tokio::test]
async fn a_jobs_running_images_say_at_which_node_they_are() -> Result<()> {
    let q = start().await?;
    assert_eq!(q.progress(&uid("a")).await?, [], "it is not known");
    q.enqueue(&tasks("a", 4)).await?;
    assert_eq!(q.progress(&uid("a")).await?, [], "nobody has begun");
    let (first, second) = (q.must_claim("v").await?, q.must_claim("w").await?);
    // A uid that begins with the other's.
    q.enqueue(&job("aa")).await?;
    tell(&q, "v", &first, Some((3, 20)), at(4, "3", "KSampler")).await?;

    let told = q.progress(&uid("a")).await?;
    let [one, other] = &told[..] else { panic!("{told:?}") };
    assert_eq!((one.index, one.attempt, &one.worker), (0, 1, &worker("v")));
    assert_eq!((one.steps, &one.nodes), (Some((3, 20)), &at(4, "3", "KSampler")));
    assert_eq!((other.index, &other.worker, other.steps, &other.nodes), (1, &worker("w"), None, &None));
    assert!(one.started_ms > 0 && one.started_ms <= q.stats().await?.now_ms);

    let stats = q.stats().await?;
    let steps: Vec<_> = stats.leases.iter().map(|lease| (lease.task.index, lease.progress)).collect();
    assert!(steps.contains(&(0, Some((3, 20)))) && steps.contains(&(1, None)), "{steps:?}");
    q.finish("v", &first).await?;
    q.finish("w", &second).await?;
    assert_eq!(q.progress(&uid("a")).await?, [], "both are done");
    for name in ["v", "w", "x"] {
        q.must_claim(name).await?;
    }
    let all = q.progress_of_all().await?;
    let held = |job: &str| all.get(&uid(job)).map(Vec::len);
    assert_eq!((all.len(), held("a"), held("aa")), (2, Some(2), Some(1)), "{all:?}");
    assert_eq!(all[&uid("a")], q.progress(&uid("a")).await?);
    Ok(())
}

#[tokio::test]
async fn what_an_earlier_attempt_told_is_forgotten_and_a_listing_is_no_image() -> Result<()> {
    let q = start_hasty().await?;
    q.enqueue(&Job { listing: true, ..job("a") }).await?;
    let lease = q.must_claim("w").await?;
    tell(&q, "w", &lease, Some((3, 20)), at(4, "3", "KSampler")).await?;
    q.give_back("w", &lease, &queue::Release::Preempted).await?;
    assert_eq!(q.progress(&uid("a")).await?, []);
    let again = q.must_claim("w").await?;
    let told = q.progress(&uid("a")).await?.pop().context("nothing told")?;
    assert_eq!((told.attempt, told.steps, told.nodes), (2, None, None));
    q.finish("w", &again).await?;
    q.must_claim("w").await?;
    assert_eq!(q.progress(&uid("a")).await?, []);
    Ok(())
}

/// A tenant with a limit stands beside it in the same field.
#[tokio::test]
async fn telling_more_costs_no_more_commands_and_frees_the_tenants_place() -> Result<()> {
    let q = start().await?;
    q.enqueue(&Job { max_running: Some(1), ..tasks("a", 2) }).await?;
    let lease = q.must_claim("w").await?;
    let cost = async |nodes| {
        let _: redis::Value = raw(&q.server, redis::cmd("CONFIG").arg("RESETSTAT")).await?;
        tell(&q, "w", &lease, Some((1, 20)), nodes).await?;
        commands(&q.server, "").await
    };
    cost(None).await?;
    assert_eq!(cost(None).await?, cost(at(4, "3", "KSampler")).await?);
    assert!(q.claim_one("w").await?.is_none(), "its tenant runs as much as it may");
    q.finish("w", &lease).await?;
    assert!(q.claim_one("w").await?.is_some());
    Ok(())
}
