//! Workers: ordered about, retired, evicted; and what the queue knows of them.

use std::time::Duration;

use anyhow::{Context, Result};
use queue::{Beat, HeldLease, Job, Notice, Order, Retired, Written};

use crate::setup::{Worker, commands, job, now_ms, of, raw, start, tasks, uid, worker};

#[tokio::test]
async fn an_idle_worker_retires_and_claims_nothing_more() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 2)).await?;
    let lease = q.must_claim("w").await?;
    assert_eq!(q.try_retire(&worker("w")).await?, Retired::Busy);
    assert_eq!(q.beat(&worker("w"), &Beat::default()).await?.order, Order::Work);
    q.finish("w", &lease).await?;
    assert_eq!(q.try_retire(&worker("w")).await?, Retired::Yes);
    assert!(q.claim_one("w").await?.is_none());
    assert_eq!(q.beat(&worker("w"), &Beat::default()).await?.order, Order::Retire);
    // One that has never been seen may be on its way.
    assert_eq!(q.try_retire(&worker("starting")).await?, Retired::Yes);
    assert!(q.claim_one("starting").await?.is_none());
    assert!(q.claim_one("other").await?.is_some());
    Ok(())
}

#[tokio::test]
async fn orders_reach_the_worker_and_can_be_taken_back() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 2)).await?;
    let w = worker("w");
    for order in [Order::Hold, Order::Doomed { left: Duration::from_secs(20) }, Order::Retire] {
        q.order(&w, order).await?;
        assert!(q.claim_one("w").await?.is_none());
        let told = q.beat(&w, &Beat::default()).await?.order;
        match (told, order) {
            (Order::Doomed { left: told }, Order::Doomed { left }) => {
                assert!(told <= left && !told.is_zero());
            }
            _ => assert_eq!(told, order),
        }
    }
    q.order(&w, Order::Work).await?;
    assert!(q.claim_one("w").await?.is_some());
    Ok(())
}

/// Faults 30 and 33.
#[tokio::test]
async fn an_evicted_worker_loses_all_at_once_and_for_ever() -> Result<()> {
    let q = start().await?;
    q.enqueue(&tasks("a", 3)).await?;
    let (one, two) = (q.must_claim("w").await?, q.must_claim("w").await?);
    let kept = q.must_claim("other").await?;
    assert_eq!(q.evict(&worker("w")).await?, 2);
    assert_eq!(q.evict(&worker("w")).await?, 0);
    assert_eq!(q.finish("w", &one).await?, Written::Stale);
    let again = q.must_claim("other").await?;
    assert_eq!((&again.task, again.attempt), (&one.task, 2));
    assert_eq!(q.must_claim("other").await?.task, two.task);
    assert_eq!(q.finish("other", &kept).await?, Written::Accepted);

    q.order(&worker("w"), Order::Work).await?;
    q.enqueue(&job("b")).await?;
    assert!(q.claim_one("w").await?.is_none());
    assert_eq!(q.beat(&worker("w"), &Beat::default()).await?.order, Order::Retire);
    Ok(())
}

/// A time left grows shorter while it is passed on.
fn nearly(notice: Option<Notice>, told: Option<Notice>) -> bool {
    match (notice, told) {
        (Some(Notice::Doomed { left }), Some(Notice::Doomed { left: told })) => {
            left <= told && left + Duration::from_secs(5) > told
        }
        _ => notice == told,
    }
}

#[tokio::test]
async fn what_a_worker_learnt_of_its_machine_is_passed_on_until_it_says_otherwise() -> Result<()> {
    let q = start().await?;
    let notice = async || anyhow::Ok(q.stats().await?.workers.first().context("no worker")?.notice);
    let doomed = Some(Notice::Doomed { left: Duration::from_secs(60) });
    for (n, told) in [None, Some(Notice::AtRisk), None, doomed].into_iter().enumerate() {
        let beat = Beat { loaded: Some("sd15".into()), notice: told, ..Beat::default() };
        q.beat(&worker("w"), &beat).await?;
        assert!(nearly(notice().await?, told));
        q.enqueue(&job(&n.to_string())).await?;
        assert!(q.claim_one("w").await?.is_some(), "what to do about it is not the queue's to say");
        assert!(nearly(notice().await?, told), "a claim says nothing of it");
    }
    q.order(&worker("w"), Order::Doomed { left: Duration::from_secs(5) }).await?;
    assert!(nearly(notice().await?, doomed), "nor does an order");
    Ok(())
}

#[tokio::test]
async fn a_worker_whose_trouble_cant_be_read_is_there_nevertheless() -> Result<()> {
    let q = start().await?;
    q.beat(&worker("w"), &Beat::default()).await?;
    let key = "ij2:{studio/sd15}:worker:w";
    for unreadable in ["garbage", r#"{"inOtherWords":"of another version"}"#] {
        let _: i64 = raw(&q.server, redis::cmd("HSET").arg(key).arg("trouble").arg(unreadable)).await?;
        let seen = q.stats().await?.workers.pop().context("no worker")?;
        assert_eq!((seen.worker, seen.trouble), (worker("w"), None), "{unreadable}");
    }
    Ok(())
}

#[tokio::test]
async fn stats_show_backlog_leases_and_workers() -> Result<()> {
    let q = start().await?;
    assert_eq!(q.stats().await?.backlog, []);
    q.enqueue(&tasks("a", 10)).await?;
    let later = now_ms() + 20_000;
    q.enqueue(&of("b", Job { model: "xl".into(), units: 80.0, arrival_ms: later, ..tasks("b", 5) })).await?;
    let lease = q.must_claim("w").await?;
    let held = HeldLease { task: lease.task.clone(), attempt: 1, progress: Some((3, 20)), nodes: None };
    q.beat(&worker("w"), &Beat { leases: vec![held], loaded: Some("sd15".into()), ..Beat::default() })
        .await?;
    q.beat(&worker("idle"), &Beat::default()).await?;

    let stats = q.stats().await?;
    let backlog: Vec<_> = stats.backlog.iter().map(|b| (b.model.as_str(), b.tasks, b.units)).collect();
    assert_eq!(backlog, [("sd15", 9, 180.0), ("xl", 5, 400.0)]);
    let due = stats.backlog[0].due_ms;
    assert!(due <= lease.due_ms && lease.due_ms < due + 300_000 / 32 + 1);
    assert!(stats.oldest_ms.is_some_and(|oldest| oldest <= stats.now_ms && oldest + 20_000 > stats.now_ms));

    let seen = stats.leases.first().context("no lease")?;
    assert_eq!((&seen.task, seen.attempt, &seen.worker), (&lease.task, 1, &worker("w")));
    assert_eq!((seen.progress, seen.units, seen.tenant.as_str()), (Some((3, 20)), 20.0, "acme"));
    assert!(seen.expires_ms >= lease.expires_ms && seen.started_ms <= stats.now_ms);

    let workers: Vec<_> = stats
        .workers
        .iter()
        .map(|w| (w.worker.0.as_str(), w.loaded.as_deref(), w.idle_since_ms.is_some()))
        .collect();
    assert_eq!(workers, [("idle", None, true), ("w", Some("sd15"), false)]);

    q.finish("w", &lease).await?;
    assert!(q.stats().await?.workers.iter().all(|worker| worker.idle_since_ms.is_some()));
    q.cancel(&uid("a")).await?;
    q.forget(&uid("b")).await?;
    assert_eq!(q.stats().await?.backlog, []);
    Ok(())
}

/// It looks at what is due: however much waits, and however often it is called, it costs the same.
#[tokio::test]
async fn a_reap_costs_no_more_where_more_waits() -> Result<()> {
    let cost = async |lines: usize| {
        let q = start().await?;
        for n in 0..lines {
            let (tenant, model) = (format!("t{}", n % 50), format!("m{n}"));
            q.enqueue(&of(&tenant, Job { model, ..job(&n.to_string()) })).await?;
        }
        q.must_claim("w").await?;
        q.reap().await?;
        let _: redis::Value = raw(&q.server, redis::cmd("CONFIG").arg("RESETSTAT")).await?;
        q.reap().await?;
        commands(&q.server, "").await
    };
    assert_eq!(cost(2000).await?, cost(10).await?, "commands of one call");
    Ok(())
}
