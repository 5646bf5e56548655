//! Against a real Redis.

use std::time::Duration;

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
    _redis: testkit::Redis,
}

impl House {
    /// A keeper at work, whose queue is filled.
    async fn open() -> Self {
        let server = testkit::Redis::start(RedisOptions::default()).await.unwrap();
        let redis = queue::Redis::connect(&server.url()).await.unwrap();
        let queue = Queue::new(redis, "studio/sd15");
        let (jobs, answers) = mpsc::channel(64);
        let (worker_sender, workers) = mpsc::unbounded_channel();
        let (deposed, _) = mpsc::unbounded_channel();
        let to = Answers { jobs, workers: worker_sender, deposed };
        let metrics = Arc::new(Metrics::new().unwrap());
        let (keeper, keeping) = open(PoolKey::new("studio", "sd15"), queue.clone(), to, metrics);
        tokio::spawn(keeping.run());
        let mut house = Self { keeper, answers, workers, queue, _redis: server };
        let Said::Lost(run) = house.hears().await else { panic!("a new Redis was filled by nobody") };
        assert_eq!(house.keeper.snapshot.borrow().stats, None, "and counts as unreadable");
        let classes = vec![queue::ClassSetting {
            name: "standard".into(),
            sla: Duration::from_secs(300),
            capacities: vec!["spot".into()],
        }];
        house.order(Order::Configure(queue::Settings { paused: false, classes })).await;
        house.order(Order::Filled(run)).await;
        house.shows(|stats| stats.leases.is_empty()).await;
        house
    }

    async fn order(&self, order: Order) {
        self.keeper.orders.send(order).await.unwrap();
    }

    async fn hears(&mut self) -> Said {
        tokio::time::timeout(SOON, self.answers.recv()).await.unwrap().unwrap().said
    }

    async fn shows(&mut self, what: impl Fn(&queue::Stats) -> bool) {
        let shows =
            async || self.keeper.snapshot.borrow().stats.as_ref().filter(|stats| what(stats)).map(drop);
        wait_for("the snapshot", SOON, shows).await.unwrap();
    }

    async fn enqueue(&mut self, n: u8) -> Uid {
        let uid: Uid = format!("aaaaaaaa-0000-4000-8000-0000000000{n:02x}").parse().unwrap();
        let job = job(uid);
        self.keeper.intake.add(uid, Coming::of(&job).unwrap());
        self.order(Order::Enqueue(Box::new(NewJob { uid, job, room: None }))).await;
        uid
    }

    async fn claim(&self, worker: &str) -> Vec<queue::Lease> {
        let claim = Claim { worker: WorkerId(worker.into()), capacity: "spot".into(), loaded: None, max: 9 };
        self.queue.claim(&claim).await.unwrap()
    }
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
    let Said::Enqueued { job, result } = house.hears().await else { panic!("another answer") };
    assert_eq!((job, result.unwrap()), (uid, queue::Enqueued::New));
    house.shows(|stats| stats.backlog.iter().map(|bucket| bucket.tasks).sum::<u64>() == 1).await;
    let read_at = house.keeper.snapshot.borrow().read_at;
    assert_eq!(house.keeper.intake.beyond(read_at), [], "the snapshot shows it");
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
    let Said::Seen { result, tally, .. } = house.hears().await else { panic!("another answer") };
    assert!(result.unwrap().unwrap().finished);
    assert_eq!(tally.unwrap().booked().made, 1);
}
