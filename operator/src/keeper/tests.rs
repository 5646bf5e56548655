//! Against a real Redis.

use std::{sync::Once, time::Duration};

use queue::{Claim, Job, JobUid, WorkerId};
use testkit::{RedisOptions, wait_for};

use super::*;
use crate::{
    imagejob::listing::tests::{made, tally},
    index::Uid,
};

const SOON: Duration = Duration::from_secs(20);

struct House {
    keeper: Keeper,
    answers: mpsc::Receiver<Answer>,
    workers: mpsc::UnboundedReceiver<WorkerAnswer>,
    queue: Queue,
    server: testkit::Redis,
}

impl House {
    /// A keeper at work, whose queue is filled.
    async fn open() -> Self {
        Self::open_at(RedisOptions::default(), upkeep(None)).await
    }

    async fn open_at(options: RedisOptions, upkeep: Upkeep) -> Self {
        let server = testkit::Redis::start(options).await.unwrap();
        let redis = queue::Redis::connect(&server.url()).await.unwrap();
        let queue = Queue::new(redis, "studio/sd15");
        let (keeper, answers, workers) = at_work(&queue, upkeep);
        let mut house = Self { keeper, answers, workers, queue, server };
        let JobAnswer::Lost(run) = house.hears().await else { panic!("a new Redis was filled by nobody") };
        assert_eq!(house.keeper.snapshot.borrow().stats, None, "and counts as unreadable");
        let classes = vec![queue::ClassSetting {
            name: "standard".into(),
            sla: Duration::from_secs(300),
            capacities: vec!["spot".into()],
        }];
        house.order(Order::Configure(queue::Settings { suspended: false, classes })).await;
        house.order(Order::Filled(run)).await;
        house.shows(|stats| stats.leases.is_empty()).await;
        house
    }

    async fn order(&self, order: Order) {
        self.keeper.orders.send(order).await.unwrap();
    }

    async fn hears(&mut self) -> JobAnswer {
        tokio::time::timeout(SOON, self.answers.recv()).await.unwrap().unwrap().answer
    }

    async fn shows(&mut self, what: impl Fn(&queue::Stats) -> bool) {
        let shows =
            async || self.keeper.snapshot.borrow().stats.as_ref().filter(|stats| what(stats)).map(drop);
        wait_for("the snapshot", SOON, shows).await.unwrap();
    }

    async fn finds(&self, what: impl Fn(&RedisSeen) -> bool) -> RedisSeen {
        let finds = async || Some(self.keeper.snapshot.borrow().redis.clone()).filter(|redis| what(redis));
        wait_for("what Redis is like", SOON, finds).await.unwrap()
    }

    async fn enqueue(&mut self, n: u8) -> Uid {
        let uid: Uid = format!("aaaaaaaa-0000-4000-8000-0000000000{n:02x}").parse().unwrap();
        let (job, coming) = (job(uid), Coming::of(&job(uid)));
        assert!(self.keeper.enqueue(NewJob { uid, job, room: None }, coming));
        uid
    }

    async fn claim(&self, worker: &str) -> Vec<queue::Lease> {
        let claim = Claim { worker: WorkerId(worker.into()), capacity: "spot".into(), loaded: None, max: 9 };
        self.queue.claim(&claim).await.unwrap()
    }
}

/// A keeper of this queue.
fn at_work(
    queue: &Queue,
    upkeep: Upkeep,
) -> (Keeper, mpsc::Receiver<Answer>, mpsc::UnboundedReceiver<WorkerAnswer>) {
    let (jobs, answers) = mpsc::channel(64);
    let (worker_sender, workers) = mpsc::unbounded_channel();
    let (deposed, _) = mpsc::unbounded_channel();
    let to = Answers { jobs, workers: worker_sender, deposed };
    let metrics = Arc::new(Metrics::new().unwrap());
    let (keeper, keeping) = open(PoolKey::new("studio", "sd15"), queue.clone(), upkeep, to, metrics);
    tokio::spawn(keeping.run());
    (keeper, answers, workers)
}

fn job(uid: Uid) -> Job {
    Job {
        uid: JobUid(uid.to_string()),
        tenant: "studio".into(),
        weight: 1.0,
        max_running: None,
        class: "standard".into(),
        model: "m".into(),
        work: "t:m".into(),
        unit_ms: 100.0,
        arrival_ms: u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap(),
        sla: Duration::from_secs(300),
        units: 20.0,
        total: 1,
        retries: 2,
        max_failed_images: None,
        listing: false,
        recheck: false,
        suspended: false,
        payload: b"{}".as_slice().into(),
    }
}

#[tokio::test]
async fn a_job_is_counted_once_on_its_way_and_on_the_queue() {
    let mut house = House::open().await;
    let uid = house.enqueue(1).await;
    let JobAnswer::Enqueued { job, result } = house.hears().await else { panic!("another answer") };
    assert_eq!((job, result.unwrap()), (uid, queue::Enqueued::New));
    house.shows(|stats| stats.backlog.iter().map(|bucket| bucket.tasks).sum::<u64>() == 1).await;
    let read_at = house.keeper.snapshot.borrow().read_at;
    assert_eq!(house.keeper.intake.beyond(read_at), [], "the snapshot shows it");
}

/// However early the keeper gets to the order: the counted job would otherwise wait for ever.
#[test]
fn a_job_is_counted_before_its_keeper_hears_of_it() {
    const JOBS: u32 = 2000;
    let (keeper, mut orders, _snapshots) = Keeper::held();
    let intake = Arc::clone(&keeper.intake);
    let hears = std::thread::spawn(move || {
        while let Some(Order::Enqueue(new)) = orders.blocking_recv() {
            intake.queued(new.uid, Instant::now());
        }
    });
    for n in 0..JOBS {
        let uid: Uid = format!("aaaaaaaa-0000-4000-8000-{n:012x}").parse().unwrap();
        let coming = Coming::of(&job(uid));
        while !keeper.enqueue(NewJob { uid, job: job(uid), room: None }, coming.clone()) {
            std::thread::yield_now();
        }
    }
    let Keeper { intake, orders, .. } = keeper;
    drop(orders);
    hears.join().unwrap();
    let read_at = Instant::now() + Duration::from_millis(1);
    assert_eq!(intake.beyond(read_at).len(), 0, "a snapshot read since shows them all");
}

#[tokio::test]
async fn a_dead_workers_image_comes_back_while_nobody_hears_the_answers() {
    let mut house = House::open().await;
    house.enqueue(1).await;
    house.hears().await;
    house.shows(|stats| !stats.backlog.is_empty()).await;
    assert_eq!(house.claim("dead").await.len(), 1);
    // Whoever talks to the API server may hang: the keeper goes on.
    house.shows(|stats| stats.leases.len() == 1).await;
    house.shows(|stats| stats.leases.is_empty() && !stats.backlog.is_empty()).await;
    let again = house.claim("alive").await;
    assert_eq!(again[0].attempt, 2);
}

#[tokio::test]
async fn workers_are_told_and_what_was_told_is_in_the_next_snapshot() {
    let mut house = House::open().await;
    house.claim("w").await;
    let worker = WorkerId("w".into());
    house.order(Order::Retire { worker: worker.clone() }).await;
    let answer = tokio::time::timeout(SOON, house.workers.recv()).await.unwrap().unwrap();
    let WorkerAnswer::Retired { retired: true, at, .. } = answer else { panic!("{answer:?}") };
    house.shows(|stats| stats.workers.iter().any(|seen| seen.order == queue::Order::Retire)).await;
    assert!(house.keeper.snapshot.borrow().read_at > at);
}

#[tokio::test]
async fn what_came_of_a_job_is_added_up_when_it_is_over() {
    let mut house = House::open().await;
    let uid = house.enqueue(1).await;
    house.hears().await;
    let lease = house.claim("w").await.remove(0);
    let result = made(0, "spot", 1000, 10).result.unwrap();
    house.queue.complete(&WorkerId("w".into()), &lease.task, lease.attempt, &result).await.unwrap();
    house.order(Order::Look(Look { job: uid, total: 1, tally: Some(Box::new(tally())), all: false })).await;
    let JobAnswer::Seen { result, tally, .. } = house.hears().await else { panic!("another answer") };
    assert!(result.unwrap().unwrap().finished);
    assert_eq!(tally.unwrap().booked().made, 1);
}

fn upkeep(password: Option<&str>) -> Upkeep {
    Upkeep { owner: "cluster".into(), password: password.map(Arc::from), refused: Arc::new(Once::new()) }
}

#[tokio::test]
async fn a_pool_has_a_user_of_its_own_and_has_it_again_when_redis_was_restarted() {
    let access = testkit::Access::Password("operators".into());
    let mut house =
        House::open_at(RedisOptions { access, ..RedisOptions::default() }, upkeep(Some("own"))).await;
    assert_eq!(house.finds(|redis| redis.access.is_some()).await.access, Some(Access::Own));
    let url = queue::access::url_of(&house.server.url(), "studio/sd15", "own");
    let enters = async || queue::Redis::connect(&url).await.ok().map(drop);
    wait_for("the worker to get in", SOON, enters).await.unwrap();
    house.server.restart().await.unwrap();
    wait_for("the worker to get in again", SOON, enters).await.unwrap();
}

#[tokio::test]
async fn where_redis_makes_no_users_workers_enter_as_they_were_given() {
    let config = vec!["user default on nopass ~* &* +@all -acl".to_owned()];
    let mut house =
        House::open_at(RedisOptions { config, ..RedisOptions::default() }, upkeep(Some("own"))).await;
    assert_eq!(house.finds(|redis| redis.access.is_some()).await.access, Some(Access::Shared));
    house.enqueue(1).await;
    let JobAnswer::Enqueued { result, .. } = house.hears().await else { panic!("another answer") };
    assert_eq!(result.unwrap(), queue::Enqueued::New, "and all goes on");
}

#[tokio::test]
async fn a_redis_that_drops_what_is_queued_is_told() {
    let config = vec!["maxmemory-policy allkeys-lru".to_owned()];
    let options = RedisOptions { max_memory: Some(64 << 20), config, ..RedisOptions::default() };
    let house = House::open_at(options, upkeep(None)).await;
    assert_eq!(house.finds(|redis| redis.evicts.is_some()).await.evicts.as_deref(), Some("allkeys-lru"));
}

#[tokio::test]
async fn however_many_orders_come_how_things_stand_is_not_read_more_often() {
    const ORDERS: u64 = 200;
    let mut house = House::open().await;
    let calls = async |house: &House| {
        let stats = house.server.command(&["INFO", "commandstats"]).await.unwrap();
        let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap().to_owned();
        line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap()
    };
    let (before, begun) = (calls(&house).await, Instant::now());
    for n in 0..ORDERS {
        let worker = WorkerId(format!("w{n}"));
        house.order(Order::Retire { worker }).await;
        house.workers.recv().await.unwrap();
    }
    let (more, ms) = (calls(&house).await - before - ORDERS, begun.elapsed().as_millis());
    // Besides, what is done every second: epoch, reaping, reading.
    let most = u64::try_from(ms / LOOK_EVERY.as_millis() + 2 + 4 * (ms / 1000 + 2)).unwrap();
    assert!(more <= most, "{more} besides the orders in {ms} ms");
}

#[tokio::test]
async fn a_job_that_redis_dropped_is_told_so_that_it_is_queued_again() {
    let mut house = House::open().await;
    let uid = house.enqueue(1).await;
    house.hears().await;
    let key = format!("ij2:{{studio/sd15}}:job:{uid}");
    assert_eq!(house.server.command(&["DEL", &key]).await.unwrap(), "1");
    house.order(Order::LookThrough).await;
    let JobAnswer::Events(events) = house.hears().await else { panic!("another answer") };
    assert_eq!(events, [(JobUid(uid.to_string()), queue::EventKind::Returned)]);
}

/// An operator that died between a job's last status and taking it off the queue left it there.
#[tokio::test]
async fn what_an_earlier_keeper_left_is_told_without_being_asked() {
    let mut house = House::open().await;
    let left = house.enqueue(1).await;
    house.hears().await;
    (house.keeper, house.answers, house.workers) = at_work(&house.queue, upkeep(None));
    let JobAnswer::Known(known) = house.hears().await else { panic!("another answer") };
    assert_eq!(known, [JobUid(left.to_string())]);
}

#[tokio::test]
async fn what_workers_tell_of_their_engines_is_read_and_told_once() {
    let mut house = House::open().await;
    let facts = queue::EngineFacts {
        digest: "sha256:a".to_owned(),
        version: "0.33.0".to_owned(),
        template: String::new(),
        key: None,
        models: Vec::new(),
    };
    let mut packed = flate2::read::GzEncoder::new(&br#"{"SaveImage": {}}"#[..], flate2::Compression::fast());
    let mut definitions = Vec::new();
    std::io::Read::read_to_end(&mut packed, &mut definitions).unwrap();
    house.queue.publish_engine(&facts, Some(&definitions)).await.unwrap();
    // It works: its queue is read every second then, and its engines too.
    house.claim("w").await;
    while !matches!(house.hears().await, JobAnswer::Engines) {}
    let engines = house.keeper.engines.borrow().clone().unwrap();
    assert_eq!(engines.facts(), [Arc::new(facts)]);
    assert!(engines.definitions().class("SaveImage").is_some());
    // A Redis that has lost everything takes nothing away.
    house.queue.delete_all().await.unwrap();
    while !matches!(house.hears().await, JobAnswer::Lost(_)) {}
    assert!(house.keeper.engines.borrow().is_some());
}
