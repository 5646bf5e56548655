//! Who gets how much: properties that hold whatever happens in between, on a real Redis.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, which the lints' exceptions miss

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use proptest::{
    prelude::{Strategy, any, prop, prop_oneof},
    test_runner::{Config, TestCaseError, TestRunner},
};
use queue::{Claim, Job, Lease, PASSES, PRESSING_SLAS, Queue, Redis, Release};

use crate::setup::{SLA, Worker, a_claim, job, now_ms, of, settings, tasks, uid, worker};

const STORIES: u32 = 24;
/// Claims before anything else happens.
const WARM_UP: usize = 100;
const WORKERS: [&str; 3] = ["w0", "w1", "w2"];
/// Tenants who have work waiting all the time, and their weights.
const STEADY: [(&str, f64); 3] = [("one", 1.0), ("two", 2.0), ("four", 4.0)];
/// Tenants who come and go.
const VISITORS: [&str; 2] = ["visitor", "guest"];
/// Units of their jobs, and GPU ms of a unit: so much that the allowance, what leases do in a quarter of the promise,
/// is little against what is granted.
const COSTS: [f64; 3] = [1.0, 20.0, 37.0];
const UNIT_MS: f64 = 100_000.0;
/// Of any task.
const MOST_UNITS: f64 = 60.0;
const CLASSES: [(&str, u64); 3] = [("immediate", 30), ("standard", 300), ("relaxed", 600)];

/// Something that happens to a queue.
#[derive(Debug, Clone)]
enum Happening {
    Claims {
        worker: usize,
    },
    /// What was granted so many claims ago comes back: preempted, or handed back.
    Returns {
        back: usize,
        preempted: bool,
    },
    Reaped,
    /// A visitor's job, asked for so many seconds ago, perhaps a large one.
    Comes {
        visitor: usize,
        ago: u64,
        units: u32,
        total: u32,
        class: usize,
    },
    /// The visitors' newest job is suspended; or resumed, as if it had come a day ago.
    Suspended,
    Resumed,
    Cancelled,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        12 => (0..WORKERS.len()).prop_map(|worker| Happening::Claims { worker }),
        2 => (0..6usize, any::<bool>()).prop_map(|(back, preempted)| Happening::Returns { back, preempted }),
        2 => prop::strategy::Just(Happening::Reaped),
        2 => (0..VISITORS.len(), prop_oneof![0..20u64, 200..1100u64], 1..60u32, 1..200u32, 0..CLASSES.len())
            .prop_map(|(visitor, ago, units, total, class)| {
                Happening::Comes { visitor, ago, units, total, class }
            }),
        1 => prop::strategy::Just(Happening::Suspended),
        1 => prop::strategy::Just(Happening::Resumed),
        1 => prop::strategy::Just(Happening::Cancelled),
    ]
}

fn stories() -> impl Strategy<Value = Vec<Happening>> {
    prop::collection::vec(happening(), 40..250)
}

/// A queue in which a story is played.
struct Stage {
    queue: Queue,
    held: Vec<(&'static str, Lease)>,
    jobs: u32,
    /// In one class, or in those that the story says.
    one_class: bool,
    /// When the story began, ms: jobs come at times that no two stages of it can disagree on.
    began: u64,
}

impl Stage {
    async fn open(redis: &Redis, name: &str, one_class: bool, began: u64) -> anyhow::Result<Self> {
        let queue = Queue::new(redis.clone(), &format!("stage/{name}"));
        queue.configure(&settings()).await?;
        Ok(Self { queue, held: Vec::new(), jobs: 0, one_class, began })
    }

    /// What was granted, if anything.
    async fn happen(&mut self, happening: &Happening, reap: bool) -> anyhow::Result<Option<Lease>> {
        match *happening {
            Happening::Claims { worker } => return self.claim(WORKERS[worker]).await,
            Happening::Returns { back, preempted } => {
                if let Some(place) = self.held.len().checked_sub(back + 1) {
                    let (name, lease) = self.held.remove(place);
                    let release = if preempted { Release::Preempted } else { Release::HandedBack };
                    self.queue.give_back(name, &lease, &release).await?;
                }
            }
            Happening::Reaped if reap => drop(self.queue.reap().await?),
            Happening::Reaped => {}
            Happening::Comes { visitor, ago, units, total, class } => {
                self.jobs += 1;
                let (class, sla) = if self.one_class { CLASSES[1] } else { CLASSES[class] };
                let coming = Job {
                    units: f64::from(units),
                    unit_ms: UNIT_MS,
                    class: class.into(),
                    sla: Duration::from_secs(sla),
                    arrival_ms: self.began - ago.min(3 * sla) * 1000 - 500 - 7 * u64::from(self.jobs),
                    ..tasks(&format!("visit {}", self.jobs), total)
                };
                self.queue.enqueue(&of(VISITORS[visitor], coming)).await?;
            }
            Happening::Suspended => drop(self.queue.suspend(&self.newest()).await?),
            Happening::Resumed => {
                let arrival_ms = self.began - 1000 * SLA.as_secs() - 500 - 7 * u64::from(self.jobs);
                self.queue.resume(&self.newest(), arrival_ms).await?;
            }
            Happening::Cancelled => drop(self.queue.cancel(&self.newest()).await?),
        }
        Ok(None)
    }

    fn newest(&self) -> queue::JobUid {
        uid(&format!("visit {}", self.jobs))
    }

    async fn claim(&mut self, name: &'static str) -> anyhow::Result<Option<Lease>> {
        let lease = self.queue.claim(&Claim { capacity: "all".into(), ..a_claim(name) }).await?.pop();
        self.held.extend(lease.clone().map(|lease| (name, lease)));
        Ok(lease)
    }
}

/// Draws stories and plays each; they share a Redis, and each has a number to name its queues by.
fn each_story(
    options: testkit::RedisOptions,
    play: &impl AsyncFn(&Redis, u32, &[Happening]) -> anyhow::Result<()>,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = runtime.block_on(testkit::Redis::start(options)).unwrap();
    let redis = runtime.block_on(Redis::connect(&server.url())).unwrap();
    let told = std::cell::Cell::new(0);
    let mut runner =
        TestRunner::new(Config { cases: STORIES, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&stories(), |story| {
        told.set(told.get() + 1);
        let played = runtime.block_on(play(&redis, told.get(), &story));
        played.map_err(|error| TestCaseError::fail(error.to_string()))
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// Plays stories, each in a queue of its own; every claim's outcome is judged.
fn play<J>(prepare: &impl AsyncFn(&Queue) -> anyhow::Result<()>, one_class: bool, judge: impl Fn() -> J)
where
    J: FnMut(&Stage, &Lease) -> Result<(), String>,
{
    each_story(testkit::RedisOptions::default(), &async |redis, number, story| {
        let mut stage = Stage::open(redis, &number.to_string(), one_class, now_ms()).await?;
        prepare(&stage.queue).await?;
        let mut judge = judge();
        let begun = vec![Happening::Claims { worker: 0 }; WARM_UP];
        for happening in begun.iter().chain(story) {
            if let Some(lease) = stage.happen(happening, true).await? {
                judge(&stage, &lease).map_err(anyhow::Error::msg)?;
            }
        }
        Ok(())
    });
}

fn weight_of(tenant: &str) -> f64 {
    STEADY.iter().find(|(name, _)| *name == tenant).map_or(1.0, |(_, weight)| *weight)
}

/// Work for every steady tenant that will not run out, in jobs of different cost. That of the first presses all the
/// time.
async fn steady_work(queue: &Queue, began: u64) -> anyhow::Result<()> {
    for (i, (tenant, weight)) in STEADY.into_iter().enumerate() {
        let mut arrival_ms = began - if i == 0 { 100_000 } else { 30_000 + 100 * i as u64 };
        for units in COSTS {
            arrival_ms += 11;
            let (name, model) = (format!("{tenant} {units}"), format!("model {units}"));
            let steady = Job { units, unit_ms: UNIT_MS, weight, model, arrival_ms, ..tasks(&name, 10_000) };
            queue.enqueue(&of(tenant, steady)).await?;
        }
    }
    Ok(())
}

/// What tenants were charged ÷ weight, and how far each was ahead of those who always wait.
struct Shares {
    charged: HashMap<String, f64>,
    /// The least that a tenant was ahead of a steady one so far.
    least: BTreeMap<(String, &'static str), f64>,
    /// The largest allowance so far.
    allowance: f64,
}

impl Shares {
    fn new() -> Self {
        Self { charged: HashMap::new(), least: BTreeMap::new(), allowance: 0.0 }
    }

    /// At no time is a tenant served that is farther ahead of one who waits than the allowance; so over no time does
    /// it get more than twice that, and one task of each.
    #[allow(clippy::cast_precision_loss)] // small numbers
    fn grant(&mut self, stage: &Stage, lease: &Lease) -> Result<(), String> {
        if lease.attempt > 1 {
            return Ok(()); // it was charged when it was first granted
        }
        let busy = stage.held.len().saturating_sub(1).max(1);
        self.allowance = self.allowance.max(PRESSING_SLAS * SLA.as_millis() as f64 * busy as f64);
        let charge = lease.expected_ms as f64 / weight_of(&lease.tenant);
        for (steady, weight) in STEADY {
            let ahead = self.ahead(&lease.tenant, steady);
            let least = *self.least.get(&(lease.tenant.clone(), steady)).unwrap_or(&ahead);
            let is_steady = STEADY.iter().any(|(name, _)| *name == lease.tenant);
            let most = if is_steady {
                self.allowance
            } else {
                2.0 * self.allowance + MOST_UNITS * UNIT_MS * (1.0 + 1.0 / weight) + least
            };
            if ahead > most + 1.0 {
                return Err(format!("{} was {ahead} ahead of {steady}: {most} is the most", lease.tenant));
            }
        }
        *self.charged.entry(lease.tenant.clone()).or_default() += charge;
        for tenant in self.charged.keys() {
            for (steady, _) in STEADY {
                let ahead = self.ahead(tenant, steady);
                let least = self.least.entry((tenant.clone(), steady)).or_insert(ahead);
                *least = least.min(ahead);
            }
        }
        Ok(())
    }

    fn ahead(&self, tenant: &str, steady: &str) -> f64 {
        let charged = |name: &str| self.charged.get(name).copied().unwrap_or_default();
        charged(tenant) - charged(steady)
    }
}

#[test]
fn whoever_always_waits_gets_its_share_over_any_time_whatever_others_do() {
    play(&async |queue: &Queue| steady_work(queue, now_ms()).await, true, || {
        let mut shares = Shares::new();
        move |stage, lease| shares.grant(stage, lease)
    });
}

/// However late, large or many the others are.
#[test]
fn an_urgent_head_waits_for_few_claims_of_other_classes() {
    let prepare = async |queue: &Queue| {
        for (class, sla) in &CLASSES[1..] {
            let bulk = Job {
                class: (*class).into(),
                sla: Duration::from_secs(*sla),
                arrival_ms: now_ms() - 3 * sla * 1000,
                ..tasks(&format!("bulk {class}"), 10_000)
            };
            queue.enqueue(&of("bulk", bulk)).await?;
        }
        let urgent =
            Job { class: "immediate".into(), sla: Duration::from_secs(30), ..tasks("urgent", 10_000) };
        Ok(queue.enqueue(&of("user", urgent)).await.map(drop)?)
    };
    play(&prepare, false, || {
        let mut passed_over = 0;
        move |_, lease| {
            passed_over = if lease.class == "immediate" { 0 } else { passed_over + 1 };
            if passed_over > PASSES { Err(format!("passed over {passed_over} times")) } else { Ok(()) }
        }
    });
}

/// The reaper finds what became due. It is no part of the order.
#[test]
fn how_often_the_reaper_looks_changes_nothing() {
    let clock = testkit::Clock::new().unwrap();
    let options = testkit::RedisOptions { clock: Some(clock.clone()), ..Default::default() };
    each_story(options, &async |redis, number, story| {
        let began = now_ms();
        // What happens in one queue and then in the other happens at the same time.
        clock.stop_at_ms(began.cast_signed())?;
        let mut often = Stage::open(redis, &format!("{number} often"), false, began).await?;
        let mut never = Stage::open(redis, &format!("{number} never"), false, began).await?;
        steady_work(&often.queue, began).await?;
        steady_work(&never.queue, began).await?;
        for happening in story {
            often.queue.reap().await?;
            let (one, other) = (often.happen(happening, true).await?, never.happen(happening, false).await?);
            let task = |lease: Option<Lease>| lease.map(|lease| (lease.task, lease.attempt));
            let (one, other) = (task(one), task(other));
            anyhow::ensure!(one == other, "with the reaper {one:?}, without {other:?}");
        }
        Ok(())
    });
}

/// Late, or away for a day: neither is a reason to go before others. One whose time is nearly over when it comes back
/// is ahead by no more than the allowance.
#[tokio::test]
async fn a_late_bulk_job_and_one_that_was_suspended_get_their_share_and_no_more() -> anyhow::Result<()> {
    for (ago, most_ahead) in [(250_000, 0), (100_000, 5)] {
        let q = crate::setup::start().await?;
        let bulk = |name: &str, total: u32| Job { unit_ms: UNIT_MS, ..tasks(name, total) };
        let arrived = |seconds: u64, job: Job| Job { arrival_ms: now_ms() - seconds * 1000, ..job };
        q.enqueue(&of("late", arrived(600, bulk("late", 10_000)))).await?;
        q.enqueue(&of("away", Job { suspended: true, ..arrived(86_400, bulk("away", 10_000)) })).await?;
        for _ in 0..50 {
            q.must_claim("w").await?;
        }
        q.reap().await?;
        q.enqueue(&of("fresh", bulk("fresh", 20))).await?;
        // Its due clock stood still while it was suspended.
        q.resume(&uid("away"), now_ms() - ago).await?;
        let mut got = HashMap::<String, u32>::new();
        for _ in 0..60 {
            q.reap().await?;
            *got.entry(q.must_claim("w").await?.tenant).or_default() += 1;
        }
        let (late, away, fresh) = (got["late"], got["away"], got["fresh"]);
        assert!(late <= 20 && away <= 20 + most_ahead && fresh + most_ahead >= 20, "{got:?}");
    }
    Ok(())
}

/// What a task costs is learned from what tasks of its kind took, whatever was guessed.
#[tokio::test]
async fn tenants_are_charged_the_time_that_their_work_takes() -> anyhow::Result<()> {
    let q = crate::setup::start().await?;
    let video = |name: &str| Job { work: "video".into(), units: 1.0, unit_ms: 2000.0, ..tasks(name, 1000) };
    q.enqueue(&of("videos", video("v"))).await?;
    let first = q.must_claim("w").await?;
    assert_eq!(first.expected_ms, 2000, "a guess");
    let took = queue::TaskResult { gpu_ms: 60_000, ..crate::setup::image_of("w", &first.task) };
    q.complete(&worker("w"), &first.task, 1, &took).await?;
    assert_eq!(q.stats().await?.unit_ms["video"], 60_000.0);
    q.enqueue(&of("pictures", Job { units: 20.0, ..tasks("p", 1000) })).await?;
    let (mut videos, mut expected) = (0, 0);
    for _ in 0..310 {
        let lease = q.must_claim("w").await?;
        if lease.tenant == "videos" {
            (videos, expected) = (videos + 1, lease.expected_ms);
        }
    }
    // A picture takes 2 s, a video 60.
    assert_eq!(expected, 60_000);
    assert!((9..=11).contains(&videos), "{videos}");
    Ok(())
}

/// A tenant that was charged for more than its tasks took gets the difference back.
#[tokio::test]
async fn a_wrong_guess_is_put_right_at_the_end() -> anyhow::Result<()> {
    let q = crate::setup::start().await?;
    q.enqueue(&of("guessed", Job { unit_ms: 50_000.0, ..tasks("g", 100) })).await?;
    let first = q.must_claim("w").await?;
    q.enqueue(&of("other", Job { work: "other".into(), ..tasks("o", 100) })).await?;
    for _ in 0..10 {
        assert_eq!(q.must_claim("w").await?.tenant, "other", "a million ms were charged");
    }
    q.finish("w", &first).await?;
    assert_eq!(q.must_claim("w").await?.tenant, "guessed", "it took a few");
    Ok(())
}

/// Failing fast costs what it took, and failing slowly more than nothing.
#[tokio::test]
async fn failures_are_charged_what_they_took() -> anyhow::Result<()> {
    let q = crate::setup::start().await?;
    let lease = {
        q.enqueue(&of("a", job("a"))).await?;
        q.must_claim("w").await?
    };
    q.enqueue(&of("b", tasks("b", 2))).await?;
    q.enqueue(&of("a", tasks("a2", 2))).await?;
    assert_eq!(q.must_claim("w").await?.tenant, "b");
    q.give_back("w", &lease, &crate::setup::failed(60_000)).await?;
    assert_eq!(q.must_claim("w").await?.tenant, "a", "its failed task took no time");
    Ok(())
}
