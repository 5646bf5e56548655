use std::collections::BTreeMap;

use queue::Stats;
use serde_json::{Value, json};

use super::*;
use crate::{
    credentials::QueueAddress,
    executors::{
        Server, events,
        pods::{Created, PodOrder, Work},
        pools,
    },
    fixtures::pool_with,
    imagejob::validate::{References, Source, validate},
    keeper::{Coming, RedisSeen, Snapshot},
};

/// The planner of a pool, and everybody it talks to.
struct Hall {
    fleet: Fleet,
    pods: mpsc::Receiver<Work>,
    pools: mpsc::Receiver<pools::Work>,
    orders: mpsc::Receiver<Order>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    workers: mpsc::UnboundedSender<WorkerAnswer>,
    outlook: watch::Sender<Arc<Outlook>>,
    redis: RedisSeen,
    _jobs: mpsc::UnboundedSender<JobNews>,
}

impl Hall {
    /// Of the pool `studio/sd15`, changed by `change`, whose queue is empty.
    fn new(change: Value) -> Self {
        let index = Index::default();
        index.apply_pool(pool_with(change));
        let key = PoolKey::new("studio", "sd15");
        let record = index.pools.get(&key).unwrap();
        let (pods, pod_orders) = Pods::held();
        let (pool_writer, pool_orders) = PoolWriter::held();
        let (keeper, orders, snapshot) = Keeper::held();
        let (worker_sender, workers) = mpsc::unbounded_channel();
        let (job_sender, jobs) = mpsc::unbounded_channel();
        let address = |url: &str| Arc::new(QueueAddress { url: url.into(), tls: queue::Tls::default() });
        let (own, shared) = (address("redis://own:pw@queue"), address("redis://queue"));
        let fleet = Fleet {
            uid: Arc::clone(&record.uid),
            changed: index.pool_changed(&key),
            index,
            given: Given { worker_image: "w".into(), queue: Arc::clone(&own) },
            own: Some(own),
            shared,
            keeper,
            pods,
            pools: pool_writer,
            events: events::open(Server::nowhere(), "test").0,
            metrics: Arc::new(Metrics::new().unwrap()),
            inbox: Inbox::new(workers, jobs),
            pod_answers: mpsc::unbounded_channel(),
            pool_answers: mpsc::unbounded_channel(),
            state: State { memory: Some(Memory::default()), ..State::default() },
            key,
        };
        let mut hall = Self {
            fleet,
            pods: pod_orders,
            pools: pool_orders,
            orders,
            snapshot,
            workers: worker_sender,
            outlook: watch::channel(Arc::default()).0,
            redis: RedisSeen::default(),
            _jobs: job_sender,
        };
        hall.read(Stats::default());
        hall
    }

    /// The keeper has read the queue.
    fn read(&mut self, stats: Stats) {
        let now = Timestamp::now();
        let now_ms = u64::try_from(now.as_millisecond()).unwrap();
        let stats = Stats { now_ms, ..stats };
        let before = Arc::clone(&self.snapshot.borrow());
        let mut read = Snapshot::read(&before, Instant::now(), stats, now);
        read.redis = self.redis.clone();
        self.snapshot.send_replace(Arc::new(read));
    }

    /// The queue's URL in the Secret that is ordered.
    fn secret(&mut self) -> Option<String> {
        let mut url = None;
        while let Ok((_, order, answers)) = self.pools.try_recv() {
            if let PoolOrder::Secret { data, .. } = order {
                url = Some(String::from_utf8(data["url"].0.clone()).unwrap());
                answers.send(PoolAnswer::Secret(SecretState::Written)).unwrap();
            }
        }
        url
    }

    /// Jobs are on their way to the queue.
    fn coming(&self, jobs: u32) {
        for n in 0..jobs {
            let uid = format!("aaaaaaaa-0000-4000-8000-{n:012x}").parse().unwrap();
            self.fleet.keeper.intake.add(uid, Coming::of(&job()).unwrap());
        }
    }

    async fn beat(&mut self) {
        self.fleet.hear();
        let pool = self.fleet.index.pools.get(&self.fleet.key).unwrap();
        self.fleet.prepare(&pool);
        self.fleet.beat(&pool, &self.outlook).await;
    }

    /// The condition of the last status that was ordered.
    fn ready(&mut self) -> crds::Condition {
        let mut last = None;
        while let Ok((_, order, answers)) = self.pools.try_recv() {
            if let PoolOrder::Status { status, .. } = order {
                last = Some(status);
                answers.send(PoolAnswer::Status(false)).unwrap();
            }
        }
        let conditions = last.unwrap().conditions;
        crds::conditions::find_condition(&conditions, crds::conditions::ConditionType::Ready).unwrap().clone()
    }

    /// The Pods that are to be created.
    fn created(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Ok((_, order, _)) = self.pods.try_recv() {
            if let PodOrder::Create(pod) = order {
                names.extend(pod.metadata.name);
            }
        }
        names
    }
}

fn job() -> queue::Job {
    let record = crate::fixtures::record();
    let references = References {
        pool_key: Some(PoolKey::new("studio", "sd15")),
        pool: Some(Arc::new(crate::fixtures::pool())),
        allowed: true,
        workflow: Source::Inline,
        recipe: Source::Inline,
        files: BTreeMap::new(),
        labels_carried: BTreeMap::new(),
        traceparent: None,
        known: None,
    };
    let spec = crate::fixtures::job().spec;
    validate(&record, &spec, &references, |_, _| 4.0, Timestamp::now()).unwrap().job
}

#[tokio::test]
async fn jobs_on_their_way_get_workers_before_redis_has_answered_and_no_more_than_once() {
    let mut hall = Hall::new(json!({}));
    hall.beat().await;
    assert_eq!(hall.created(), [""; 0], "nothing to do");
    hall.coming(200);
    hall.beat().await;
    let created = hall.created();
    assert!(!created.is_empty() && hall.fleet.state.last_decision.is_none());
    let answer = PodAnswer { name: created[0].clone(), created: Created::Yes };
    hall.fleet.pod_answers.0.send(answer).unwrap();
    hall.beat().await;
    assert_eq!(hall.created(), [""; 0], "they are coming");
    assert!(hall.fleet.state.last_decision.is_some(), "now it is so");
}

#[tokio::test]
async fn pods_that_are_refused_are_tried_again_more_rarely_and_the_pool_says_why() {
    let mut hall = Hall::new(json!({}));
    let refuse = |hall: &mut Hall| {
        for name in hall.created() {
            let why = "exceeded quota: gpus".to_owned();
            hall.fleet.pod_answers.0.send(PodAnswer { name, created: Created::Refused(why) }).unwrap();
        }
    };
    hall.coming(200);
    hall.beat().await;
    hall.ready();
    refuse(&mut hall);
    hall.beat().await;
    assert_eq!(hall.created(), [""; 0], "not at once");
    assert_eq!(hall.fleet.state.last_decision, None, "nobody was started");
    let failures = &hall.fleet.state.memory.as_ref().unwrap().failures;
    let spot = &failures[&policy::Capacity::Spot];
    assert_eq!((spot.rounds, spot.workers), (1, 0), "one round, and no worker that failed");
    assert!(spot.until > node::time(Timestamp::now()), "the policy decides when");
    let ready = hall.ready();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "PodsRefused"));
    assert!(ready.message.starts_with("exceeded quota: gpus; the next is tried 20"), "{}", ready.message);
}

#[tokio::test]
async fn a_template_that_is_none_starts_nobody_and_the_pool_says_so_before_it_has_work() {
    let template = json!({"spec": {"containers": "none"}});
    let mut hall = Hall::new(json!({"spec": {"podTemplate": template}}));
    hall.beat().await;
    assert_eq!(hall.ready().reason, "PodTemplateInvalid");
    hall.coming(200);
    hall.beat().await;
    assert_eq!(hall.created(), [""; 0]);
}

#[tokio::test]
async fn a_value_of_a_later_version_starts_nobody_and_the_pool_says_which() {
    let kinds = [
        (json!({"engine": {"kind": "Forge"}}), "spec.engine.kind"),
        (json!({"fleets": {"spot": {"type": "Leased"}}}), "spec.fleets[spot].type"),
    ];
    for (spec, field) in kinds {
        let mut hall = Hall::new(json!({"spec": spec}));
        hall.beat().await;
        let ready = hall.ready();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "SpecUnknown"));
        assert!(ready.message.starts_with(field), "{}", ready.message);
        hall.coming(200);
        hall.beat().await;
        assert_eq!(hall.created(), [""; 0]);
    }
}

#[tokio::test]
async fn a_pool_that_is_being_deleted_starts_nobody() {
    let going = json!({"metadata": {"deletionTimestamp": crate::fixtures::CREATED, "finalizers": ["foregroundDeletion"]}});
    let mut hall = Hall::new(going);
    hall.coming(200);
    hall.beat().await;
    assert_eq!(hall.created(), [""; 0]);
}

#[tokio::test]
async fn the_queue_is_told_of_the_spec_and_of_each_change_once() {
    let mut hall = Hall::new(json!({}));
    let suspended = |order: Order| match order {
        Order::Configure(settings) => settings.suspended,
        other => panic!("{other:?}"),
    };
    hall.beat().await;
    assert!(!suspended(hall.orders.try_recv().unwrap()));
    hall.beat().await;
    assert!(hall.orders.try_recv().is_err());
    hall.fleet.index.apply_pool(pool_with(json!({"spec": {"suspend": true}, "metadata": {"generation": 2}})));
    hall.beat().await;
    assert!(suspended(hall.orders.try_recv().unwrap()));
}

#[tokio::test]
async fn a_worker_that_was_evicted_is_told_of_when_its_images_are_back() {
    let mut hall = Hall::new(json!({}));
    let worker = WorkerId("sd15-spot-0123456789".into());
    let answer = WorkerAnswer::Evicted { worker, requeued: 2, at: Instant::now() };
    hall.workers.send(answer).unwrap();
    hall.beat().await;
    assert_eq!(hall.fleet.metrics.requeued.with_label_values(&["studio/sd15", "evicted"]).get(), 2);
}

#[tokio::test]
async fn a_pool_that_waits_is_not_written_again_for_what_only_adds_up() {
    let mut hall = Hall::new(json!({}));
    let mut writes = 0;
    for _ in 0..20 {
        hall.beat().await;
        while let Ok((_, order, answers)) = hall.pools.try_recv() {
            if matches!(order, PoolOrder::Status { .. }) {
                writes += 1;
                answers.send(PoolAnswer::Status(true)).unwrap();
            }
        }
        hall.read(Stats::default());
    }
    assert_eq!(writes, 1);
}

#[tokio::test]
async fn workers_are_told_their_pools_own_user_once_it_exists_or_the_one_of_all_pools() {
    let mut hall = Hall::new(json!({}));
    hall.beat().await;
    assert_eq!(hall.secret(), None, "whether there is a user is not known yet");
    hall.redis.access = Some(Access::Own);
    hall.read(Stats::default());
    hall.beat().await;
    assert_eq!(hall.secret().as_deref(), Some("redis://own:pw@queue"));
    let made_of = |hall: &Hall| hall.fleet.state.template.as_ref().unwrap().template.clone();
    let before = made_of(&hall);
    hall.redis.access = Some(Access::Shared);
    hall.read(Stats::default());
    hall.beat().await;
    assert_eq!(
        hall.secret().as_deref(),
        Some("redis://queue"),
        "Redis was replaced by one that makes no users"
    );
    assert_ne!(made_of(&hall), before, "workers that know the other one are replaced");
}

#[tokio::test]
async fn no_worker_starts_while_the_secret_of_its_name_is_somebody_elses() {
    let mut hall = Hall::new(json!({}));
    hall.read(Stats::default());
    hall.coming(1);
    let conflict =
        SecretState::Conflict("Secret studio/imagejob-sd15 does not belong to this pool".to_owned());
    hall.fleet.state.secret = Some(conflict);
    hall.beat().await;
    assert!(hall.pods.try_recv().is_err(), "it would read the other one's URL");
    hall.fleet.state.secret = Some(SecretState::Written);
    hall.beat().await;
    assert!(matches!(hall.pods.try_recv(), Ok((_, PodOrder::Create(_), _))));
}

/// A Pod of a worker, with the pool of this uid as its owner.
fn worker_pod(name: &str, owner: &str) -> k8s_openapi::api::core::v1::Pod {
    let owner = json!({"apiVersion": "imagejob.dev/v1alpha1", "kind": "WorkerPool", "name": "sd15", "uid": owner,
                       "controller": true});
    let labels = json!({"imagejob.dev/pool": "sd15", "imagejob.dev/capacity": "spot"});
    let metadata = json!({"name": name, "namespace": "studio", "uid": name, "labels": labels,
                          "ownerReferences": [owner]});
    serde_json::from_value(json!({"metadata": metadata})).unwrap()
}

/// However long its Pod takes to go, and though the queue never heard of it.
#[tokio::test]
async fn a_worker_is_retired_once_and_its_pod_deleted_at_once() {
    let mut hall = Hall::new(json!({}));
    let worker = WorkerId("ours".into());
    hall.fleet.index.workers.see(worker_pod(&worker.0, &hall.fleet.uid));
    let retired = |hall: &mut Hall| {
        let mut times = 0;
        while let Ok(order) = hall.orders.try_recv() {
            times += u32::from(matches!(order, Order::Retire { .. }));
        }
        times
    };
    let is_deletion = |(_, order, _): &Work| matches!(order, PodOrder::Delete { .. });
    hall.beat().await;
    assert_eq!(retired(&mut hall), 1, "nobody needs it");
    let protected = std::iter::from_fn(|| hall.pods.try_recv().ok()).any(|work| !is_deletion(&work));
    assert!(protected, "its Pod was changed a moment ago");
    hall.workers.send(WorkerAnswer::Retired { worker, retired: true, at: Instant::now() }).unwrap();
    hall.beat().await;
    let deletions = std::iter::from_fn(|| hall.pods.try_recv().ok()).filter(is_deletion).count();
    assert_eq!(deletions, 1, "and not once that change is old");
    for _ in 0..3 {
        hall.read(Stats::default());
        hall.beat().await;
        assert_eq!(retired(&mut hall), 0, "it was told");
    }
}

#[tokio::test]
async fn workers_of_an_earlier_pool_of_the_name_are_not_taken_over() {
    let mut hall = Hall::new(json!({}));
    let uid = hall.fleet.uid.to_string();
    hall.fleet.index.workers.see(worker_pod("ours", &uid));
    hall.fleet.index.workers.see(worker_pod("theirs", "f3b1a9d0-0000-4000-8000-000000000000"));
    let record = hall.fleet.index.pools.get(&hall.fleet.key).unwrap();
    let (template, now) = (hall.fleet.template(&record), Timestamp::now());
    let observed = hall.fleet.observe(&record, &template, now);
    let seen: Vec<&str> = observed.seen.workers.iter().map(|worker| worker.id.0.as_str()).collect();
    assert_eq!(seen, ["ours"]);
    hall.beat().await;
    while let Ok((_, order, _)) = hall.pods.try_recv() {
        assert!(!matches!(order, PodOrder::Delete { name, .. } if name == "theirs"), "it goes with its pool");
    }
}
