//! The simulated order of claims is that of the real scripts: the same story, told to both, must grant the same tasks.
//!
//! Redis' clock stands still during a story, so both go by the same time.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)] // helpers of tests, which the lints' exceptions miss
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use proptest::{
    prelude::{Just, Strategy, any, prop, prop_oneof},
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};
use queue::{
    Beat, Claim, ClassSetting, JobUid, Queue, Redis, Release, Settings, StoredFile, TaskId, TaskResult,
    WorkerId,
};
use sim::lanes::{Grant, Job, Lanes, Name};

const CLASSES: [(&str, u64); 2] = [("standard", 300), ("relaxed", 600)];
const TENANTS: [&str; 4] = ["acme", "b", "c", "d"];
const MODELS: [&str; 4] = ["sd15", "xl", "flux", ""];
const STORIES: u32 = 48;
/// A multiple of all weights, so that no charge has to be rounded.
const UNIT_MS: f64 = 800.0;

/// Something that happens to a queue.
#[derive(Debug, Clone)]
enum Happening {
    /// A job that was asked for so many seconds ago.
    Asked { ago: u64, class: usize, tenant: usize, model: usize, units: u32, weight: u32, total: u32 },
    /// A worker claims, with a model loaded or none.
    Claims { loaded: Option<usize>, classes: usize },
    /// Another worker says what it has loaded.
    OtherLoads { model: usize },
    /// The lease that was granted so many claims ago ends: done, or interrupted.
    Ends { back: usize, done: bool },
    /// The reaper looks: that changes no order.
    Reaped,
}

fn happening() -> impl Strategy<Value = Happening> {
    // Not within a second of a time at which something changes: the two clocks differ by less.
    let ago = prop_oneof![
        4 => 0..24u64, 3 => 60..140u64, 3 => 160..220u64, 2 => 235..295u64, 2 => 310..440u64, 1 => 2450..2600u64
    ];
    let asked = (ago, 0..2usize, 0..4usize, 0..4usize, 1..40u32, 1..4u32, 1..4u32).prop_map(
        |(ago, class, tenant, model, units, weight, total)| Happening::Asked {
            ago,
            class,
            tenant,
            model,
            units,
            weight,
            total,
        },
    );
    prop_oneof![
        4 => asked,
        5 => (prop::option::of(0..4usize), 0..3usize)
            .prop_map(|(loaded, classes)| Happening::Claims { loaded, classes }),
        1 => (0..3usize).prop_map(|model| Happening::OtherLoads { model }),
        2 => (0..4usize, any::<bool>()).prop_map(|(back, done)| Happening::Ends { back, done }),
        1 => Just(Happening::Reaped),
    ]
}

/// One queue, in Redis and simulated.
struct Both {
    real: Queue,
    simulated: Lanes,
    jobs: u32,
    held: Vec<Grant>,
    other_has: Option<usize>,
    /// When the story began, ms.
    began: u64,
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

fn uid(number: u32) -> JobUid {
    JobUid(format!("{number:08}"))
}

fn worker() -> WorkerId {
    WorkerId("w".into())
}

impl Both {
    async fn happen(&mut self, happening: &Happening) -> Result<(), TestCaseError> {
        match *happening {
            Happening::Asked { ago, class, tenant, model, units, weight, total } => {
                self.jobs += 1;
                // No two arrivals are so close that the two clocks could disagree on them.
                let arrival = self.began - ago * 1000 - 7 * u64::from(self.jobs);
                let (name, sla) = CLASSES[class];
                let weight = 2f64.powi(weight as i32);
                self.real
                    .enqueue(&real_job(
                        uid(self.jobs),
                        arrival,
                        (name, sla),
                        (tenant, model),
                        units,
                        weight,
                        total,
                    ))
                    .await
                    .unwrap();
                self.simulated.enqueue(
                    self.began as i64,
                    Job {
                        uid: self.jobs,
                        class,
                        tenant: Name::of(TENANTS[tenant]),
                        model: Name::of(MODELS[model]),
                        arrival: arrival as i64,
                        sla: sla as i64 * 1000,
                        gpu_ms: UNIT_MS * f64::from(units),
                        weight,
                        total,
                    },
                );
            }
            Happening::Claims { loaded, classes } => self.claim(loaded, classes).await?,
            Happening::OtherLoads { model } => {
                let beat = Beat {
                    loaded: Some(MODELS[model].to_owned()),
                    capacity: "all".to_owned(),
                    ..Beat::default()
                };
                self.real.beat(&WorkerId("other".into()), &beat).await.unwrap();
                self.other_has = Some(model);
            }
            Happening::Ends { back, done } => self.end(back, done).await?,
            Happening::Reaped => drop(self.real.reap().await.unwrap()),
        }
        Ok(())
    }

    async fn claim(&mut self, loaded: Option<usize>, classes: usize) -> Result<(), TestCaseError> {
        let kind = classes;
        let classes: &[usize] = [&[0, 1][..], &[0], &[0, 1]][kind];
        let claim = Claim {
            worker: worker(),
            capacity: ["all", "standard", "all"][kind].to_owned(),
            loaded: loaded.map(|model| MODELS[model].to_owned()).filter(|model| !model.is_empty()),
            max: 1,
        };
        let lease = self.real.claim(&claim).await.unwrap().pop();
        let loaded = claim.loaded.as_deref().map(Name::of);
        let grant = self.simulated.claim(self.began as i64, classes, loaded, |model| {
            self.other_has.is_some_and(|other| Name::of(MODELS[other]) == model)
        });
        let real = lease.map(|lease| (lease.task.job, lease.task.index, lease.attempt));
        let simulated = grant.map(|grant| (uid(grant.uid), grant.index, grant.attempt));
        if real != simulated {
            return Err(TestCaseError::fail(format!("Redis grants {real:?}, the simulation {simulated:?}")));
        }
        self.held.extend(grant);
        Ok(())
    }

    async fn end(&mut self, back: usize, done: bool) -> Result<(), TestCaseError> {
        let Some(place) = self.held.len().checked_sub(back + 1) else { return Ok(()) };
        let grant = self.held.remove(place);
        let task = TaskId { job: uid(grant.uid), index: grant.index };
        if done {
            self.real.complete(&worker(), &task, grant.attempt, &result()).await.unwrap();
            assert!(self.simulated.complete(grant, 0));
        } else {
            self.real.release(&worker(), &task, grant.attempt, &Release::Preempted, 0).await.unwrap();
            assert!(self.simulated.interrupt(grant));
        }
        Ok(())
    }
}

fn settings() -> Settings {
    let class = |(name, sla): (&str, u64), capacities: &[&str]| ClassSetting {
        name: name.into(),
        sla: Duration::from_secs(sla),
        capacities: capacities.iter().map(|&name| name.into()).collect(),
    };
    let classes = vec![class(CLASSES[0], &["all", "standard"]), class(CLASSES[1], &["all"])];
    Settings { suspended: false, classes }
}

fn real_job(
    uid: JobUid,
    arrival_ms: u64,
    (class, sla): (&str, u64),
    (tenant, model): (usize, usize),
    units: u32,
    weight: f64,
    total: u32,
) -> queue::Job {
    queue::Job {
        uid,
        tenant: TENANTS[tenant].into(),
        weight,
        max_running: None,
        class: class.into(),
        model: MODELS[model].into(),
        work: MODELS[model].into(),
        unit_ms: UNIT_MS,
        arrival_ms,
        sla: Duration::from_secs(sla),
        units: f64::from(units),
        total,
        retries: 0,
        max_failed_images: None,
        listing: false,
        recheck: false,
        suspended: false,
        payload: Bytes::from_static(b"{}"),
    }
}

fn result() -> TaskResult {
    let image = StoredFile {
        node: "9".into(),
        name: "image.png".into(),
        media_type: "image/png".into(),
        bytes: 1,
        sha256: None,
        width: Some(8),
        height: Some(8),
        duration_ms: None,
        key: "k".into(),
        url: None,
        etag: "e".into(),
    };
    TaskResult {
        outputs: vec![image],
        seed: None,
        gpu_ms: 0,
        capacity: "spot".into(),
        worker: worker(),
        found: false,
        timings: None,
    }
}

/// Redis, whose clock can be stopped.
struct Server {
    _process: testkit::Redis,
    redis: Redis,
    clock: testkit::Clock,
}

impl Server {
    async fn start() -> Self {
        let clock = testkit::Clock::new().unwrap();
        let options = testkit::RedisOptions { clock: Some(clock.clone()), ..Default::default() };
        let process = testkit::Redis::start(options).await.unwrap();
        Self { redis: Redis::connect(&process.url()).await.unwrap(), _process: process, clock }
    }

    /// Plays a story to both, in a pool of this name.
    async fn play(&self, pool: &str, story: &[Happening]) -> Result<(), TestCaseError> {
        let began = now_ms();
        self.clock.stop_at_ms(began.cast_signed()).unwrap();
        let real = Queue::new(self.redis.clone(), pool);
        real.configure(&settings()).await.unwrap();
        let mut both =
            Both { real, simulated: Lanes::default(), jobs: 0, held: Vec::new(), other_has: None, began };
        for happening in story {
            both.happen(happening).await?;
        }
        // What is left comes in the same order too.
        for _ in 0..60 {
            both.claim(None, 0).await?;
        }
        Ok(())
    }
}

#[test]
fn the_simulated_order_is_that_of_the_scripts() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = runtime.block_on(Server::start());
    let pools = std::cell::Cell::new(0);
    let story = prop::collection::vec(happening(), 20..120);
    let mut runner =
        TestRunner::new(Config { cases: STORIES, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&story, |story| {
        pools.set(pools.get() + 1);
        runtime.block_on(server.play(&format!("sim/{}", pools.get()), &story))
    });
    if let Err(TestError::Fail(why, story)) = outcome {
        panic!("{why}, after {story:#?}");
    }
    outcome.unwrap();
}

/// Of a tenant's four lines the one that needs no load is the last: a claim does not see it.
#[tokio::test]
async fn only_a_tenants_first_lines_are_looked_at() {
    let asked = |ago, class, tenant, model, units, total| Happening::Asked {
        ago,
        class,
        tenant,
        model,
        units,
        weight: 1,
        total,
    };
    let plain = || asked(0, 0, 0, 0, 1, 1);
    let claims = |classes| Happening::Claims { loaded: None, classes };
    let story = [
        plain(),
        asked(252, 0, 0, 0, 14, 2),
        asked(60, 1, 0, 1, 1, 1),
        asked(0, 1, 2, 2, 1, 1),
        asked(247, 0, 0, 0, 20, 3),
        asked(0, 1, 1, 3, 1, 2),
        asked(0, 0, 0, 0, 1, 2),
        claims(0),
        plain(),
        plain(),
        claims(0),
        claims(0),
        claims(0),
        claims(0),
        claims(2),
        asked(2450, 1, 2, 3, 1, 1),
        asked(0, 1, 0, 3, 1, 1),
        asked(0, 1, 0, 0, 1, 1),
        asked(0, 1, 0, 2, 1, 1),
        Happening::Ends { back: 0, done: false },
        plain(),
        plain(),
        plain(),
        plain(),
        claims(0),
        plain(),
    ];
    Server::start().await.play("sim/lines", &story).await.unwrap();
}
