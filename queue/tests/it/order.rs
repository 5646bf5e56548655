//! Who comes first.

use std::time::Duration;

use anyhow::Result;
use queue::{Beat, Claim, Job, Order, Release};
use testkit::wait_for;

use crate::setup::{
    DEADLINE, Worker, a_claim, failed, job, now_ms, of, settings, start, start_hasty, tasks, uid, worker,
};

fn arrived(ago: Duration, job: Job) -> Job {
    Job { arrival_ms: now_ms() - ago.as_secs() * 1000, ..job }
}

fn in_class(class: &str, sla: Duration, job: Job) -> Job {
    Job { class: class.into(), sla, ..job }
}

fn with_model(model: &str, job: Job) -> Job {
    Job { model: model.into(), ..job }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn among_equals_the_earliest_goes_first_whatever_the_order_of_enqueueing() -> Result<()> {
    let q = start().await?;
    for (tenant, ago) in [("c", 10), ("a", 30), ("b", 20)] {
        q.enqueue(&of(tenant, arrived(ago * SECOND, job(tenant)))).await?;
    }
    q.enqueue(&of("b", arrived(40 * SECOND, job("b-older")))).await?;
    assert_eq!(q.drain("w").await?, ["b-older/0", "a/0", "c/0", "b/0"]);
    Ok(())
}

#[tokio::test]
async fn one_tenants_jobs_keep_their_order() -> Result<()> {
    let q = start().await?;
    for (name, ago) in [("late", 1), ("early", 30), ("middle", 20)] {
        q.enqueue(&arrived(ago * SECOND, tasks(name, 2))).await?;
    }
    let order = q.drain("w").await?;
    assert_eq!(order, ["early/0", "early/1", "middle/0", "middle/1", "late/0", "late/1"]);
    Ok(())
}

/// Fault 13, when the large tenant has waited for a while, has run for a while, or both.
#[tokio::test]
async fn a_small_tenant_is_not_stuck_behind_a_large_one() -> Result<()> {
    for head_start in [0, 1, 50] {
        let q = start().await?;
        q.enqueue(&of("large", arrived(600 * SECOND, tasks("a", 10_000)))).await?;
        for _ in 0..head_start {
            let lease = q.must_claim("w").await?;
            q.finish("w", &lease).await?;
        }
        q.enqueue(&of("small", tasks("b", 10))).await?;
        let mut position = 0;
        let mut left = 10;
        while left > 0 {
            let lease = q.must_claim("w").await?;
            position += 1;
            left -= u32::from(lease.task.job == uid("b"));
        }
        assert!(position <= 20, "after {head_start} head start: {position}");
    }
    Ok(())
}

#[tokio::test]
async fn tenants_get_shares_by_weight_and_cost() -> Result<()> {
    let q = start().await?;
    q.enqueue(&of("paid", Job { weight: 4.0, ..tasks("p", 1000) })).await?;
    q.enqueue(&of("free", tasks("f", 1000))).await?;
    q.enqueue(&of("large pictures", Job { units: 80.0, ..tasks("l", 1000) })).await?;
    let mut got = std::collections::HashMap::<String, u32>::new();
    for _ in 0..210 {
        *got.entry(q.must_claim("w").await?.tenant).or_default() += 1;
    }
    // 4 : 1 : 1/4 in tasks, as one of the last costs four times as much.
    assert!((155..=165).contains(&got["paid"]), "{got:?}");
    assert!((38..=42).contains(&got["free"]), "{got:?}");
    assert!((9..=12).contains(&got["large pictures"]), "{got:?}");
    Ok(())
}

/// Taking many at once must not change who gets how much.
#[tokio::test]
async fn batches_are_as_fair_as_single_claims() -> Result<()> {
    let q = start().await?;
    for tenant in ["a", "b", "c"] {
        q.enqueue(&of(tenant, tasks(tenant, 500))).await?;
    }
    let leases = q.claim(&Claim { max: 300, ..a_claim("w") }).await?;
    for tenant in ["a", "b", "c"] {
        let got = leases.iter().filter(|lease| lease.tenant == tenant).count();
        assert!((99..=101).contains(&got), "{tenant}: {got}");
    }
    assert_eq!(q.claim(&Claim { max: 5000, ..a_claim("w") }).await?.len(), 500);
    assert_eq!(q.claim(&Claim { max: 5000, ..a_claim("w") }).await?.len(), 500);
    assert_eq!(q.claim(&Claim { max: 5000, ..a_claim("w") }).await?.len(), 200);
    Ok(())
}

/// Nobody saves up shares by staying away, and nobody is punished for having used idle machines.
#[tokio::test]
async fn past_use_does_not_count() -> Result<()> {
    let q = start().await?;
    q.enqueue(&of("old", tasks("old", 1000))).await?;
    for _ in 0..500 {
        q.must_claim("w").await?;
    }
    q.enqueue(&of("new", tasks("new", 1000))).await?;
    let mut new = 0;
    for _ in 0..100 {
        new += u32::from(q.must_claim("w").await?.tenant == "new");
    }
    assert!((49..=51).contains(&new), "{new}");
    Ok(())
}

/// Fault 14: a tenant of hardly any weight meets its longest wait, though others always have work.
#[tokio::test]
async fn nobody_waits_longer_than_the_longest_wait() -> Result<()> {
    let q = start().await?;
    let sla = Duration::from_millis(300);
    let mut short = settings();
    short.classes.iter_mut().for_each(|class| class.sla = sla);
    q.configure(&short).await?;
    q.enqueue(&of("paid", Job { weight: 1000.0, sla, ..tasks("p", 100_000) })).await?;
    q.enqueue(&of("free", Job { weight: 0.001, sla, ..tasks("f", 3) })).await?;
    while q.must_claim("w").await?.tenant != "free" {}
    // By its weight it is next after a million others.
    let waited_since = q.stats().await?.now_ms;
    wait_for("the free tenant to be served", DEADLINE, async || {
        q.reap().await.ok()?;
        (q.must_claim("w").await.ok()?.tenant == "free").then_some(())
    })
    .await?;
    let waited = q.stats().await?.now_ms - waited_since;
    assert!((2 * 300..=4 * 300 + 200).contains(&waited), "{waited} ms");
    assert_eq!(q.must_claim("w").await?.tenant, "paid", "one task each");
    Ok(())
}

#[tokio::test]
async fn an_interrupted_task_goes_before_everything_and_costs_its_tenant_nothing() -> Result<()> {
    let q = start().await?;
    q.enqueue(&of("a", arrived(20 * SECOND, tasks("a", 5)))).await?;
    q.enqueue(&of("b", arrived(10 * SECOND, tasks("b", 5)))).await?;
    let first = q.must_claim("w").await?;
    assert_eq!(first.tenant, "a");
    for _ in 0..3 {
        q.must_claim("w").await?;
    }
    q.give_back("w", &first, &Release::Preempted).await?;
    let again = q.must_claim("w").await?;
    assert_eq!((&again.task, again.attempt, again.recheck), (&first.task, 2, true));
    // As if nothing had happened: 2 + 2 were taken, a is next, then b.
    assert_eq!(q.must_claim("w").await?.tenant, "a");
    assert_eq!(q.must_claim("w").await?.tenant, "b");
    Ok(())
}

#[tokio::test]
async fn a_failed_task_waits_with_the_others() -> Result<()> {
    let q = start().await?;
    q.enqueue(&of("a", arrived(20 * SECOND, tasks("a", 2)))).await?;
    q.enqueue(&of("b", arrived(10 * SECOND, job("b")))).await?;
    let (a, b) = (q.must_claim("w").await?, q.must_claim("w").await?);
    q.give_back("w", &a, &failed(0)).await?;
    q.give_back("w", &b, &Release::Preempted).await?;
    assert_eq!(q.drain("w").await?, ["b/0", "a/0", "a/1"]);
    Ok(())
}

#[tokio::test]
async fn between_classes_the_due_time_decides() -> Result<()> {
    let q = start().await?;
    let (immediate, standard) = (30 * SECOND, 300 * SECOND);
    let both = Claim { capacity: "all".into(), ..a_claim("w") };
    let next = async || anyhow::Ok(q.claim(&both).await?.pop().map(|lease| lease.task.job.0));
    q.enqueue(&of("a", in_class("standard", standard, arrived(295 * SECOND, job("almost late"))))).await?;
    q.enqueue(&of("b", in_class("immediate", immediate, job("urgent")))).await?;
    q.enqueue(&of("c", in_class("standard", standard, arrived(100 * SECOND, job("has time"))))).await?;
    assert_eq!(next().await?.as_deref(), Some("almost late"));
    assert_eq!(next().await?.as_deref(), Some("urgent"));
    assert_eq!(next().await?.as_deref(), Some("has time"));

    // A class the worker may not serve is none of its business.
    q.enqueue(&in_class("immediate", immediate, job("not mine"))).await?;
    assert!(q.claim_one("w").await?.is_none());
    Ok(())
}

/// What has little time left goes before its tenant's turn, as long as that tenant is not far ahead; what can't be in
/// time any more does not.
#[tokio::test]
async fn within_the_allowance_a_task_that_must_start_soon_goes_before_one_that_has_time() -> Result<()> {
    let q = start().await?;
    // A minute of GPU time each, less than what one worker does in the last quarter of the promise.
    let minute = |tenant: &str, ago: u32| {
        of(tenant, arrived(ago * SECOND, Job { unit_ms: 3000.0, ..tasks(tenant, 100) }))
    };
    q.enqueue(&minute("late", 400)).await?;
    q.enqueue(&minute("soon", 200)).await?;
    q.enqueue(&minute("has time", 0)).await?;
    let first = q.must_claim("w").await?;
    assert_eq!(first.tenant, "soon");
    // It is the turn of the others now, and they have had less than an allowance less.
    assert_eq!(q.must_claim("w").await?.tenant, "soon");
    Ok(())
}

/// The allowance is small against what tenants have had: then it is by turns again.
#[tokio::test]
async fn beyond_the_allowance_it_is_by_turns() -> Result<()> {
    let q = start().await?;
    // Longer than what one worker does in the last quarter of the promise.
    let long = |tenant: &str, ago: u32| {
        of(tenant, arrived(ago * SECOND, Job { unit_ms: 5000.0, ..tasks(tenant, 100) }))
    };
    q.enqueue(&long("soon", 150)).await?;
    q.enqueue(&long("has time", 0)).await?;
    assert_eq!(q.must_claim("w").await?.tenant, "soon");
    assert_eq!(q.must_claim("w").await?.tenant, "has time");
    Ok(())
}

/// A job that is overdue only because it is large is not more urgent than a fresh urgent one.
#[tokio::test]
async fn an_old_bulk_job_that_is_being_served_does_not_block_an_urgent_class() -> Result<()> {
    let q = start().await?;
    let both = Claim { capacity: "all".into(), ..a_claim("w") };
    q.enqueue(&of("bulk", arrived(250 * SECOND, tasks("bulk", 1000)))).await?;
    assert_eq!(q.claim(&both).await?[0].tenant, "bulk");
    q.enqueue(&of("user", in_class("immediate", 30 * SECOND, job("urgent")))).await?;
    assert_eq!(q.claim(&both).await?[0].tenant, "user");
    Ok(())
}

#[tokio::test]
async fn the_loaded_model_is_preferred_while_the_first_in_line_can_wait() -> Result<()> {
    let q = start().await?;
    let loaded = Claim { loaded: Some("xl".into()), ..a_claim("w") };
    q.enqueue(&of("a", arrived(100 * SECOND, with_model("sd15", job("first"))))).await?;
    q.enqueue(&of("b", with_model("xl", job("loaded")))).await?;
    assert_eq!(q.claim(&loaded).await?[0].task.job, uid("loaded"));

    // Three quarters of its promise are over: no more passing by.
    q.enqueue(&of("c", arrived(230 * SECOND, with_model("sd15", job("urgent"))))).await?;
    q.enqueue(&of("d", with_model("xl", job("loaded 2")))).await?;
    assert_eq!(q.claim(&loaded).await?[0].task.job, uid("urgent"));
    assert_eq!(q.claim(&loaded).await?[0].task.job, uid("loaded 2"));
    assert_eq!(q.claim(&loaded).await?[0].task.job, uid("first"));
    Ok(())
}

#[tokio::test]
async fn a_loaded_model_is_preferred_in_other_classes_too() -> Result<()> {
    let q = start().await?;
    q.enqueue(&of("a", arrived(100 * SECOND, with_model("sd15", job("first"))))).await?;
    q.enqueue(&of("b", in_class("relaxed", 600 * SECOND, with_model("xl", job("loaded"))))).await?;
    let loaded = Claim { loaded: Some("xl".into()), capacity: "all".into(), ..a_claim("w") };
    assert_eq!(q.claim(&loaded).await?[0].task.job, uid("loaded"));
    assert_eq!(q.claim(&loaded).await?[0].task.job, uid("first"));
    Ok(())
}

#[tokio::test]
async fn a_fresh_job_is_left_to_a_worker_that_has_its_model() -> Result<()> {
    let q = start().await?;
    let loaded = |name: &str, model: &str| Claim { loaded: Some(model.into()), ..a_claim(name) };
    let beat = Beat { loaded: Some("sd15".into()), capacity: "spot".into(), ..Beat::default() };
    q.beat(&worker("other"), &beat).await?;
    q.enqueue(&with_model("sd15", job("fresh"))).await?;
    assert!(q.claim(&loaded("w", "xl")).await?.is_empty());
    assert_eq!(q.claim(&loaded("other", "sd15")).await?[0].task.job, uid("fresh"));

    // Not for long, nor for a worker that is told to leave, nor if nothing has to be loaded.
    q.enqueue(&arrived(30 * SECOND, with_model("sd15", job("waited")))).await?;
    assert_eq!(q.claim(&loaded("w", "xl")).await?[0].task.job, uid("waited"));
    q.enqueue(&with_model("", job("workflow"))).await?;
    assert_eq!(q.claim(&loaded("w", "xl")).await?[0].task.job, uid("workflow"));
    q.order(&worker("other"), Order::Hold).await?;
    q.enqueue(&with_model("sd15", job("alone"))).await?;
    assert_eq!(q.claim(&loaded("w", "xl")).await?[0].task.job, uid("alone"));
    Ok(())
}

/// An idle GPU gets what it can do, whatever stands first in line.
#[tokio::test]
async fn a_worker_for_which_the_first_in_line_is_not_gets_the_next() -> Result<()> {
    let loaded = |name: &str, model: &str| Claim { loaded: Some(model.into()), ..a_claim(name) };
    let holder = Beat { loaded: Some("sd15".into()), capacity: "spot".into(), ..Beat::default() };
    type Jobs = [(&'static str, &'static str, &'static str)];
    // Tenant, model and name; the last is what a worker with another model gets.
    let table: [&Jobs; 4] = [
        &[("a", "sd15", "left to its holder"), ("a", "flux", "next")],
        &[("a", "sd15", "left to its holder"), ("b", "flux", "next")],
        &[("a", "flux", "needs a load"), ("a", "", "needs none")],
        &[("a", "flux", "needs a load"), ("b", "", "needs none")],
    ];
    for jobs in table {
        let q = start().await?;
        q.beat(&worker("holder"), &holder).await?;
        for (ago, (tenant, model, name)) in (0..).zip(jobs.iter().rev()) {
            q.enqueue(&of(tenant, arrived(ago * SECOND, with_model(model, job(name))))).await?;
        }
        let (_, _, expected) = jobs.last().expect("two jobs");
        assert_eq!(q.claim(&loaded("w", "xl")).await?[0].task.job, uid(expected), "{jobs:?}");
    }

    // Nor is a worker waited for that is at work.
    let q = start().await?;
    q.beat(&worker("holder"), &holder).await?;
    q.enqueue(&with_model("sd15", job("running"))).await?;
    assert_eq!(q.claim(&loaded("holder", "sd15")).await?.len(), 1);
    q.enqueue(&with_model("sd15", job("fresh"))).await?;
    assert_eq!(q.claim(&loaded("w", "xl")).await?[0].task.job, uid("fresh"));
    Ok(())
}

#[tokio::test]
async fn a_tenants_models_share_one_virtual_time() -> Result<()> {
    let q = start().await?;
    for model in ["x", "y", "z"] {
        q.enqueue(&of("many", with_model(model, tasks(model, 100)))).await?;
    }
    q.enqueue(&of("one", with_model("x", tasks("one", 100)))).await?;
    let mut one = 0;
    for _ in 0..40 {
        one += u32::from(q.must_claim("w").await?.tenant == "one");
    }
    assert!((19..=21).contains(&one), "{one}");
    Ok(())
}

#[tokio::test]
async fn a_tenant_runs_no_more_than_it_may_and_blocks_nobody() -> Result<()> {
    let q = start().await?;
    let limited = |name: &str, model: &str| {
        of("limited", with_model(model, Job { max_running: Some(2), ..tasks(name, 5000) }))
    };
    q.enqueue(&arrived(50 * SECOND, limited("l1", "x"))).await?;
    q.enqueue(&arrived(50 * SECOND, limited("l2", "y"))).await?;
    q.enqueue(&of("free", tasks("f", 3))).await?;
    let leases = q.claim(&Claim { max: 100, ..a_claim("w") }).await?;
    let of_limited: Vec<_> = leases.iter().filter(|lease| lease.tenant == "limited").collect();
    assert_eq!((leases.len(), of_limited.len()), (5, 2));
    let stats = q.stats().await?;
    assert_eq!((stats.backlog.len(), stats.held_back), (0, 9998));

    // Each that ends makes room for one, however it ends.
    q.finish("w", of_limited[0]).await?;
    assert_eq!(q.stats().await?.backlog.iter().map(|b| b.tasks).sum::<u64>(), 1);
    let third = q.must_claim("w").await?;
    assert!(q.claim_one("w").await?.is_none());
    q.give_back("w", of_limited[1], &failed(60_000)).await?;
    q.must_claim("w").await?;
    q.give_back("w", &third, &Release::Preempted).await?;
    let again = q.must_claim("w").await?;
    assert_eq!((&again.task, again.attempt), (&third.task, 2));
    assert!(q.claim_one("w").await?.is_none());

    // The line that was let in is taken away: the other one takes its place.
    q.finish("w", &again).await?;
    q.cancel(&uid("l1")).await?;
    assert_eq!(q.must_claim("w").await?.task.job, uid("l2"));
    assert!(q.claim_one("w").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn an_interrupted_task_waits_too_when_its_tenant_is_full_again() -> Result<()> {
    let q = start_hasty().await?;
    q.enqueue(&Job { max_running: Some(1), ..tasks("a", 2) }).await?;
    let first = q.must_claim("dead").await?;
    assert!(q.claim_one("w").await?.is_none());
    wait_for("the lease to end", DEADLINE, async || (q.reap().await.ok()?.expired == 1).then_some(()))
        .await?;
    let again = q.must_claim("w").await?;
    assert_eq!(again.task, first.task);
    q.evict(&worker("w")).await?;
    assert_eq!(q.must_claim("x").await?.task, first.task);
    assert!(q.claim_one("x").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn suspended_jobs_wait_aside_and_come_back_as_they_were() -> Result<()> {
    let q = start().await?;
    q.enqueue(&Job { suspended: true, ..job("born suspended") }).await?;
    q.enqueue(&tasks("a", 3)).await?;
    let interrupted = q.must_claim("w").await?;
    let running = q.must_claim("w").await?;
    q.suspend(&uid("a")).await?;
    q.give_back("w", &interrupted, &Release::Preempted).await?;
    assert!(q.claim_one("w").await?.is_none());
    assert_eq!(q.stats().await?.backlog, []);
    let state = q.state("a").await?;
    assert_eq!((state.waiting, state.running, state.suspended), (2, 1, true));
    q.finish("w", &running).await?;

    q.resume(&uid("a"), now_ms()).await?;
    q.resume(&uid("born suspended"), now_ms()).await?;
    assert_eq!(q.stats().await?.backlog.iter().map(|b| b.tasks).sum::<u64>(), 3);
    let order = q.drain("w").await?;
    assert_eq!(order[0], interrupted.task.to_string());
    assert_eq!(order.len(), 3);
    Ok(())
}

/// Fault 17: names are data.
#[tokio::test]
async fn names_may_be_anything() -> Result<()> {
    let q = start().await?;
    for (i, name) in ["{}", "a:b", "a\0b", "!x/1", "", "\u{1F5FC}\n", "*"].iter().enumerate() {
        let odd = with_model(name, of(name, tasks(&format!("j{i}"), 2)));
        q.enqueue(&Job { max_running: Some(1), ..odd }).await?;
        let lease = q.must_claim("w").await?;
        assert_eq!((lease.tenant.as_str(), lease.model.as_str()), (*name, *name));
        assert!(q.claim_one("w").await?.is_none());
        q.give_back("w", &lease, &Release::Preempted).await?;
        let loaded = Claim { loaded: Some((*name).into()), ..a_claim("w") };
        let again = q.claim(&loaded).await?.remove(0);
        q.finish("w", &again).await?;
        assert_eq!(q.drain("w").await?.len(), 1);
    }
    Ok(())
}
