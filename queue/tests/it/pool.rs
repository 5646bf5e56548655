//! What a pool's owner says: classes and who serves them, pausing; and which operator may change the queue.

use std::time::Duration;

use anyhow::Result;
use queue::{Claim, ClassSetting, Epoch, Error, Job, Order, Settings};

use crate::setup::{SLA, Worker, a_claim, job, now_ms, settings, start, tasks, uid, worker};

#[tokio::test]
async fn a_suspended_pool_grants_nothing_to_anybody_and_finishes_what_runs() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 40)).await?;
    let two = [q.must_claim("w").await?, q.must_claim("v").await?];
    q.configure(&Settings { suspended: true, ..settings() }).await?;
    q.reap().await?;
    for name in ["w", "v", "new"] {
        assert!(q.claim_one(name).await?.is_none());
    }
    for (name, lease) in ["w", "v"].into_iter().zip(&two) {
        assert_eq!(q.renew(name, lease).await?, queue::Renewed::Keep);
        q.finish(name, lease).await?;
    }
    assert_eq!(q.state("a").await?.succeeded, 2);
    q.configure(&settings()).await?;
    assert!(q.claim_one("w").await?.is_some());
    Ok(())
}

/// A class that is added reaches workers that live; one that is gone waits until it is back.
#[tokio::test]
async fn who_serves_which_class_follows_from_the_pools_table() -> Result<()> {
    let q = start().await?;
    let class = |name: &str, capacities: &[&str]| ClassSetting {
        name: name.into(),
        sla: SLA,
        capacities: capacities.iter().map(|&name| name.into()).collect(),
    };
    let only = |classes: Vec<ClassSetting>| Settings { suspended: false, classes };
    q.enqueue(&Job { class: "bulk".into(), ..tasks("b", 3) }).await?;
    assert!(q.claim_one("w").await?.is_none(), "there is no such class");
    q.configure(&only(vec![class("standard", &["spot"]), class("bulk", &["spot"])])).await?;
    assert_eq!(q.must_claim("w").await?.class, "bulk");
    q.configure(&only(vec![class("bulk", &["onDemand"])])).await?;
    assert!(q.claim_one("w").await?.is_none(), "its capacity does not serve it any more");
    let on_demand = Claim { capacity: "onDemand".into(), ..a_claim("v") };
    assert_eq!(q.claim(&on_demand).await?.len(), 1);
    q.configure(&only(vec![])).await?;
    assert!(q.claim(&on_demand).await?.is_empty());
    assert_eq!(q.state("b").await?.waiting, 1);
    Ok(())
}

#[tokio::test]
async fn a_queue_that_was_never_configured_grants_nothing() -> Result<()> {
    let server = testkit::Redis::start(testkit::RedisOptions::default()).await?;
    let q = queue::Queue::new(queue::Redis::connect(&server.url()).await?, "studio/new");
    q.enqueue(&job("a")).await?;
    assert!(q.claim_one("w").await?.is_none());
    q.configure(&settings()).await?;
    assert!(q.claim_one("w").await?.is_some());
    Ok(())
}

/// Fault 41: an operator that lost the API server, not Redis, and does not know yet that another one leads.
#[tokio::test]
async fn a_deposed_operator_changes_nothing() -> Result<()> {
    let q = start().await?;
    let (old, new) = (q.with_term(7), q.with_term(8));
    old.enqueue(&tasks("a", 2)).await?;
    let lease = q.must_claim("w").await?;
    new.reap().await?;
    let Epoch::Changed(run) = old.epoch().await? else { panic!("nobody has set it") };

    let deposed = |result: Result<(), Error>| match result {
        Err(Error::Deposed { term: 7, leader: 8 }) => {}
        other => panic!("{other:?}"),
    };
    deposed(old.enqueue(&job("b")).await.map(drop));
    deposed(old.forget(&uid("a")).await.map(drop));
    deposed(old.cancel(&uid("a")).await.map(drop));
    deposed(old.suspend(&uid("a")).await.map(drop));
    deposed(old.resume(&uid("a"), now_ms()).await.map(drop));
    deposed(old.redrive(&uid("a")).await.map(drop));
    deposed(old.evict(&worker("w")).await.map(drop));
    deposed(old.order(&worker("w"), Order::Retire).await);
    deposed(old.try_retire(&worker("v")).await.map(drop));
    deposed(old.reap().await.map(drop));
    deposed(old.set_epoch(&run).await);
    deposed(old.configure(&Settings::default()).await);
    deposed(old.jobs(0).await.map(drop));
    deposed(old.delete_all().await);

    assert_eq!(q.renew("w", &lease).await?, queue::Renewed::Keep);
    assert_eq!(q.job(&uid("b")).await?, None);
    assert!(q.claim_one("v").await?.is_some());
    // It may look, and tools without a term may do all.
    assert_eq!(old.stats().await?.leases.len(), 2);
    assert!(q.forget(&uid("a")).await?);
    new.enqueue(&job("b")).await?;
    Ok(())
}

#[tokio::test]
async fn a_deleted_pool_leaves_nothing_and_others_alone() -> Result<()> {
    let q = start().await?;
    let other = queue::Queue::new(q.redis().clone(), "studio/sd1");
    other.configure(&settings()).await?;
    other.enqueue(&job("kept")).await?;
    let many: Vec<_> = (0..700).map(|n| tasks(&format!("job {n}"), 2)).collect();
    q.enqueue_many(&many).await?;
    let lease = q.must_claim("w").await?;
    q.delete_all().await?;
    let left: Vec<String> =
        crate::setup::raw(&q.server, redis::cmd("KEYS").arg("ij2:{studio/sd15}:*")).await?;
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(q.renew("w", &lease).await?, queue::Renewed::Unknown);
    assert!(other.claim_one("w").await?.is_some());
    // What a worker still says of itself is not kept for ever.
    for key in ["worker:w", "workers"] {
        let key = format!("ij2:{{studio/sd15}}:{key}");
        let left: i64 = crate::setup::raw(&q.server, redis::cmd("TTL").arg(&key)).await?;
        assert!(left > 0, "{key}: {left}");
    }
    Ok(())
}

/// A fresh urgent job beside two late bulk jobs: it is served soon, and they get most of the rest.
#[tokio::test]
async fn urgent_work_gets_every_fourth_claim_beside_late_work() -> Result<()> {
    let q = start().await?;
    let all = |name: &str| Claim { capacity: "all".into(), ..a_claim(name) };
    for (class, sla) in [("standard", SLA), ("relaxed", 2 * SLA)] {
        let late = Job { class: class.into(), sla, arrival_ms: now_ms() - 1_100_000, ..tasks(class, 1000) };
        q.enqueue(&late).await?;
    }
    let urgent = Job {
        class: "immediate".into(),
        sla: Duration::from_secs(30),
        tenant: "u".into(),
        ..tasks("u", 1000)
    };
    q.enqueue(&urgent).await?;
    let mut classes = Vec::new();
    for _ in 0..40 {
        q.reap().await?;
        classes.push(q.claim(&all("w")).await?.remove(0).class);
    }
    let first = classes.iter().position(|class| class == "immediate");
    assert!(first.is_some_and(|first| first <= 3), "{classes:?}");
    Ok(())
}
