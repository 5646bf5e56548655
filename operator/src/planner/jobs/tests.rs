use std::collections::BTreeMap;

use crds::{
    ImageFailure, ImageJob, ImageJobStatus,
    conditions::{ConditionType, JobReason, find_condition},
};
use queue::{DeadLetter, Enqueued, JobState, JobUid, Stats, StoredObject, TaskError, TaskId};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;
use crate::{
    executors::{
        Server, events,
        jobs::{Target, Write},
        loader::{Loaded, Question},
    },
    fixtures::{accepted_status, job_with, pool_with},
    imagejob::{inputs::File, listing::Tally, validate::Source},
    index::Whole,
    keeper::{Failure, Keeper, Look, Snapshot},
    workerpool::outlook::Outlook,
};

mod traced;
mod waiting;

/// The planner of jobs, and everybody it talks to.
struct Desk {
    jobs: Jobs,
    keeper: Keeper,
    orders: mpsc::Receiver<Order>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    writes: mpsc::Receiver<(Target, Write)>,
    questions: mpsc::Receiver<Question>,
    version: u64,
}

impl Desk {
    /// With the pool `studio/sd15`, the default one.
    fn new() -> Self {
        let index = Index::default();
        let (writer, writes) = JobWriter::held();
        let (loader, questions) = Loader::held();
        let (events, _) = events::open(Server::nowhere(), "test");
        let (keeper, orders, snapshots) = Keeper::held();
        let handles = Handles::default();
        let out = Outbox { handles, loader, writer, events };
        let metrics = Arc::new(Metrics::new().unwrap());
        let jobs = Jobs::new(index, out, metrics);
        let mut desk = Self { jobs, keeper, orders, snapshots, writes, questions, version: 100 };
        desk.pool(&json!({}));
        desk.at_work(1);
        desk
    }

    fn pool(&mut self, change: &Value) {
        let mut pool = json!({"spec": {"default": true}});
        json_patch::merge(&mut pool, change);
        self.jobs.index.apply_pool(pool_with(pool));
    }

    fn at_work(&mut self, id: u64) {
        let outlook = watch::channel(Arc::<Outlook>::default()).1;
        let (news, _) = mpsc::unbounded_channel();
        let handle = PoolHandle { id, keeper: self.keeper.clone(), outlook, news };
        self.jobs.out.handles.put(key(), handle);
    }

    /// A job is seen, and looked at.
    fn see(&mut self, change: &Value) -> Uid {
        let mut version = json!({"metadata": {"resourceVersion": self.next_version().to_string()}});
        json_patch::merge(&mut version, change);
        let job = job_with(version);
        self.jobs.index.jobs.see(&job);
        self.jobs.take_changes();
        uid_of(&job)
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn order(&mut self) -> Order {
        self.orders.try_recv().expect("an order to the keeper")
    }

    fn says(&mut self, said: JobAnswer) {
        self.jobs.answered(Answer { pool: key(), answer: said });
        self.jobs.next_in_line();
    }

    /// The queue takes the job that it was handed.
    fn queued(&mut self, enqueued: Enqueued) -> queue::Job {
        let Order::Enqueue(new) = self.order() else { panic!("another order") };
        self.says(JobAnswer::Enqueued { job: new.uid, result: Ok(enqueued) });
        new.job
    }

    /// The queue answers how far the job is that was asked for.
    fn looked(&mut self, state: Option<JobState>) {
        let Order::Look(Look { job, tally, .. }) = self.order() else { panic!("another order") };
        self.says(JobAnswer::Seen { job, result: Ok(state), tally });
    }

    /// The status that is to be written.
    fn write(&mut self) -> ImageJobStatus {
        match self.writes.try_recv().expect("a write").1 {
            Write::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    fn written(&mut self, uid: Uid) {
        let version = self.next_version();
        self.jobs.written(uid, Written::As(version));
        self.jobs.next_in_line();
        self.jobs.take_changes();
    }

    /// A job that is accepted and written.
    fn accepted(&mut self) -> Uid {
        let uid = self.see(&json!({}));
        self.queued(Enqueued::New);
        self.write();
        self.written(uid);
        uid
    }

    /// A job whose queue was told to stop it, and is asked how far it is.
    async fn with_a_cancelled_job() -> (Self, Uid) {
        let mut desk = Self::new();
        let many = json!({"spec": {"count": 300}});
        desk.see(&many);
        desk.queued(Enqueued::New);
        desk.write();
        let spec = json!({"cancel": true, "count": 300});
        let uid =
            desk.see(&json!({"metadata": {"generation": 2}, "spec": spec, "status": accepted_status()}));
        desk.written(uid);
        let state = JobState { waiting: 150, succeeded: 150, ..JobState::default() };
        desk.looked(Some(state));
        assert!(matches!(desk.order(), Order::Cancel { .. }));
        desk.says(JobAnswer::Changed { job: uid, result: Ok(()) });
        (desk, uid)
    }

    /// Looked at again, it is stopped again, and is then so far.
    fn cancelled(&mut self, state: &JobState) {
        self.looked(Some(state.clone()));
        let Ok(Order::Cancel { job }) = self.orders.try_recv() else { panic!("another order") };
        self.says(JobAnswer::Changed { job, result: Ok(()) });
        self.looked(Some(state.clone()));
    }

    /// The queue is read, and no worker is at it.
    fn no_workers(&self) {
        let (unread, stats) = (Snapshot::clone(&self.snapshots.borrow()), Stats::default());
        let read = Snapshot::read(&unread, Instant::now(), stats, Timestamp::now());
        self.snapshots.send_replace(Arc::new(read));
    }

    fn nothing_more(&mut self) {
        assert!(self.orders.try_recv().is_err() && self.writes.try_recv().is_err());
        assert!(self.questions.try_recv().is_err());
        assert!(self.jobs.steps.is_empty());
        assert_eq!(self.jobs.slots, SLOTS);
    }
}

fn key() -> PoolKey {
    PoolKey::new("studio", "sd15")
}

fn uid_of(job: &ImageJob) -> Uid {
    job.metadata.uid.as_ref().unwrap().parse().unwrap()
}

fn ready(status: &ImageJobStatus) -> &str {
    &find_condition(&status.conditions, ConditionType::Ready).unwrap().reason
}

fn pool_name(status: &ImageJobStatus) -> Option<&str> {
    status.pool.as_ref().map(|pool| pool.name.as_str())
}

fn waiting() -> JobState {
    JobState { waiting: 4, ..JobState::default() }
}

fn made() -> JobState {
    JobState { succeeded: 4, finished: true, ..JobState::default() }
}

#[tokio::test]
async fn a_new_job_is_queued_straight_from_the_index_and_counts_before_redis_has_answered() {
    let mut desk = Desk::new();
    let uid = desk.see(&json!({}));
    assert!(!desk.keeper.intake.is_empty(), "the planner of workers sees it");
    desk.queued(Enqueued::New);
    assert!(desk.jobs.index.jobs.text(uid).is_none(), "its prompt is not kept");
    let first = desk.write();
    assert_eq!((ready(&first), pool_name(&first)), ("Waiting", Some("sd15")));
    desk.written(uid);
    desk.nothing_more();
}

#[tokio::test]
async fn a_jobs_labels_travel_with_its_work() {
    let mut desk = Desk::new();
    desk.see(&json!({"metadata": {"labels": {"team": "art"}}}));
    let job = desk.queued(Enqueued::New);
    let task: queue::TaskSpec = serde_json::from_slice(&job.payload).unwrap();
    assert_eq!(task.labels, BTreeMap::from([("team".to_owned(), "art".to_owned())]));
}

#[tokio::test]
async fn what_a_job_refers_to_is_read_first_and_asked_for_again_while_it_is_not_there() {
    let mut desk = Desk::new();
    let work = json!({"type": "Recipe", "textToImage": null, "recipe": {"name": "portrait"}});
    let uid = desk.see(&json!({"spec": {"work": work}}));
    let Question::Job { whole: Some(whole), .. } = desk.questions.try_recv().unwrap() else {
        panic!("another question")
    };
    let message = "ImageRecipe studio/portrait does not exist (yet)".to_owned();
    let loaded = Loaded { recipe: Source::Missing { message }, ..Loaded::alone(*whole) };
    desk.jobs.found(Found::Job { uid, result: Ok(Box::new(loaded)) });
    let status = desk.write();
    let accepted = find_condition(&status.conditions, ConditionType::Accepted).unwrap();
    assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), ("False", "RecipeNotFound"));
    desk.written(uid);
    let again = desk.jobs.timers.next().expect("nobody tells of recipes");
    desk.jobs.take_timers(again);
    assert!(matches!(desk.questions.try_recv(), Ok(Question::Job { .. })));
}

#[tokio::test]
async fn a_job_that_is_done_before_it_was_told_to_be_accepted_is_written_once() {
    let mut desk = Desk::new();
    let uid = desk.see(&json!({}));
    desk.jobs.slots = 0; // others are being written
    desk.queued(Enqueued::New);
    desk.jobs.slots = SLOTS;
    desk.jobs.next_in_line();
    desk.looked(Some(made()));
    let status = desk.write();
    assert_eq!((ready(&status), pool_name(&status)), ("Completed", Some("sd15")));
    desk.written(uid);
    assert!(matches!(desk.order(), Order::Forget { job } if job == uid), "only now");
    desk.nothing_more();
}

#[tokio::test]
async fn jobs_say_that_their_pool_or_class_is_gone_and_go_on_when_it_is_back() {
    let mut desk = Desk::new();
    let uid = desk.accepted();
    let other = json!({"spec": {"classes": [{"name": "bulk", "slaSeconds": 600, "fleets": ["spot"], "default": true}]},
                       "metadata": {"generation": 2}});
    desk.pool(&other);
    desk.jobs.take_changes();
    desk.looked(Some(waiting()));
    assert_eq!(ready(&desk.write()), "ClassNotFound");
    desk.written(uid);
    desk.jobs.index.delete_pool(&key(), None);
    desk.jobs.out.handles.remove(&key());
    desk.jobs.take_changes();
    assert_eq!(ready(&desk.write()), "PoolNotFound");
    desk.written(uid);
    desk.nothing_more();
    desk.pool(&json!({"metadata": {"generation": 3}}));
    desk.at_work(2);
    desk.jobs.take_changes();
    desk.looked(Some(waiting()));
    assert_eq!(ready(&desk.write()), "Waiting");
}

#[tokio::test]
async fn a_job_whose_class_is_not_there_yet_waits_and_is_queued_when_it_is() {
    let mut desk = Desk::new();
    let uid = desk.see(&json!({"spec": {"class": "bulk"}}));
    assert_eq!(ready(&desk.write()), "ClassNotFound");
    desk.written(uid);
    desk.nothing_more();
    assert_eq!(desk.jobs.timers.next(), None, "its pool tells, so nothing is asked again and again");
    let more = json!({"metadata": {"generation": 2}, "spec": {"classes": [
        {"name": "bulk", "slaSeconds": 600, "fleets": ["spot"], "default": true}]}});
    desk.pool(&more);
    desk.jobs.take_changes();
    assert_eq!(desk.queued(Enqueued::New).class, "bulk");
}

#[tokio::test]
async fn a_status_that_is_refused_is_written_in_part_and_not_repeated() {
    let mut desk = Desk::new();
    let uid = desk.accepted();
    desk.jobs.index.jobs.mark(uid, Why::Turn);
    desk.jobs.take_changes();
    let Order::Look(Look { job, tally, .. }) = desk.order() else { panic!("another order") };
    let mut tally: Box<Tally> = tally.unwrap();
    tally.add(&crate::imagejob::listing::tests::made(0, "spot", 1000, 10));
    desk.says(JobAnswer::Seen { job, result: Ok(Some(made())), tally: Some(tally) });
    assert_eq!(desk.write().results.len(), 1);
    desk.jobs.written(uid, Written::Refused("status.results[0].seed: must be of type integer".into()));
    let without = desk.write();
    assert!(without.results.is_empty() && without.cost.is_some());
    let message = &find_condition(&without.conditions, ConditionType::Complete).unwrap().message;
    assert!(message.contains("the API server refuses the list: status.results[0].seed"), "{message}");
    desk.jobs.written(uid, Written::Refused("too large".into()));
    let conditions = desk.write();
    assert!(conditions.cost.is_none() && ready(&conditions) == "Completed");
    desk.jobs.written(uid, Written::Refused("too large".into()));
    assert_eq!(desk.jobs.metrics.statuses_refused.with_label_values(&["imagejob"]).get(), 3);
    for _ in 0..3 {
        desk.jobs.index.jobs.mark(uid, Why::Turn);
        desk.jobs.take_changes();
        desk.looked(Some(made()));
        desk.nothing_more();
    }
}

#[tokio::test]
async fn what_redis_lost_is_queued_again_on_its_terms_and_then_the_keeper_is_told() {
    let mut desk = Desk::new();
    let uid = desk.accepted();
    let run = run().await;
    desk.says(JobAnswer::Lost(run.clone()));
    // Its prompt is not kept: it is read again.
    let Question::Job { place, whole: None, .. } = desk.questions.try_recv().unwrap() else {
        panic!("another")
    };
    assert_eq!(place.uid, uid);
    let whole = Whole { labels: BTreeMap::new(), traceparent: None, spec: job_with(json!({})).spec };
    let loaded = Loaded::alone(whole);
    desk.pool(&json!({"metadata": {"generation": 2}, "spec": {"fairness": {"defaultWeight": 9}}}));
    desk.jobs.found(Found::Job { uid, result: Ok(Box::new(loaded)) });
    let job = desk.queued(Enqueued::New);
    assert!(job.recheck);
    assert_eq!((job.class.as_str(), job.weight), ("standard", 1.0), "as it was accepted");
    assert!(matches!(desk.order(), Order::Filled(told) if told == run));
}

#[tokio::test]
async fn a_pool_that_had_nothing_is_filled_at_once() {
    let mut desk = Desk::new();
    desk.says(JobAnswer::Lost(run().await));
    assert!(matches!(desk.order(), Order::Filled(_)));
    desk.nothing_more();
}

/// A run of a Redis.
async fn run() -> ServerRun {
    let redis = testkit::Redis::start(testkit::RedisOptions::default()).await.unwrap();
    let redis = queue::Redis::connect(&redis.url()).await.unwrap();
    match queue::Queue::new(redis, "studio/sd15").epoch().await.unwrap() {
        queue::Epoch::Changed(run) => run,
        queue::Epoch::Same => panic!("nobody has filled it"),
    }
}

#[tokio::test]
async fn nothing_is_taken_off_a_queue_before_the_api_server_says_that_it_is_gone() {
    let mut desk = Desk::new();
    let stranger = "aaaaaaaa-0000-4000-8000-000000000000";
    desk.says(JobAnswer::Events(vec![(JobUid(stranger.into()), queue::EventKind::Finished)]));
    desk.nothing_more();
    desk.says(JobAnswer::Known(vec![JobUid(stranger.into())]));
    let Question::Gone(uids) = desk.questions.try_recv().unwrap() else { panic!("another question") };
    assert!(desk.orders.try_recv().is_err());
    desk.jobs.found(Found::Gone(uids.into_iter().collect()));
    assert!(matches!(desk.order(), Order::Forget { .. }));
}

#[tokio::test]
async fn a_deleted_job_is_taken_off_its_queue_whatever_was_under_way() {
    let mut desk = Desk::new();
    let uid = desk.see(&json!({}));
    desk.jobs.index.jobs.see_deleted(uid);
    desk.jobs.take_changes();
    desk.queued(Enqueued::New);
    let forgotten = |order: Order| matches!(order, Order::Forget { job } if job == uid);
    assert!(forgotten(desk.order()), "queued after its deletion was seen");
    desk.nothing_more();
}

#[tokio::test]
async fn a_keeper_that_went_with_its_pool_holds_nobody_up() {
    let mut desk = Desk::new();
    let uid = desk.accepted();
    desk.jobs.index.jobs.mark(uid, Why::Turn);
    desk.jobs.take_changes();
    assert!(matches!(desk.order(), Order::Look(_)), "which is never answered");
    desk.at_work(2);
    desk.jobs.give_up_unanswerable();
    desk.looked(Some(waiting()));
    desk.nothing_more();
}

#[tokio::test]
async fn cancelled_while_it_waits_it_is_stopped_first_and_ended_then() {
    let mut desk = Desk::new();
    desk.accepted();
    let change =
        json!({"metadata": {"generation": 2}, "spec": {"cancel": true}, "status": accepted_status()});
    let uid = desk.see(&change);
    desk.looked(Some(waiting()));
    assert!(matches!(desk.order(), Order::Cancel { .. }));
    desk.says(JobAnswer::Changed { job: uid, result: Ok(()) });
    desk.looked(Some(JobState { cancelled: 4, finished: true, ..JobState::default() }));
    assert_eq!(ready(&desk.write()), JobReason::Cancelled.as_str());
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_of_many_images_waits_for_its_manifest_while_a_worker_may_store_it() {
    let state = |listing: Option<&str>| {
        let object = |key: &str| StoredObject { key: key.into(), url: None, etag: "e".into(), bytes: 9 };
        let listing = listing.map(|key| Ok(object(key)));
        JobState {
            succeeded: 150,
            cancelled: 150,
            finished: listing.is_some(),
            listing,
            ..JobState::default()
        }
    };
    let ended = |status: &ImageJobStatus| status.completion_time.is_some();
    let some = "the first status of a cancelled job";

    let (mut desk, uid) = Desk::with_a_cancelled_job().await;
    desk.looked(Some(state(None)));
    let status = desk.write();
    assert!(!ended(&status) && status.manifest_url.is_none(), "{some}");
    desk.written(uid);
    desk.says(JobAnswer::Events(vec![(uid.job(), queue::EventKind::Finished)]));
    desk.jobs.take_changes();
    desk.cancelled(&state(Some("a.json")));
    let status = desk.write();
    assert!(ended(&status) && status.manifest_url.is_some_and(|url| url.ends_with("/a.json")));

    let (mut desk, uid) = Desk::with_a_cancelled_job().await;
    desk.looked(Some(state(None)));
    assert!(!ended(&desk.write()), "{some}");
    desk.written(uid);
    tokio::time::advance(Duration::from_secs(61)).await;
    desk.jobs.take_timers(Instant::now());
    desk.cancelled(&state(None));
    assert!(ended(&desk.write()), "whatever its workers do");

    let (mut desk, _) = Desk::with_a_cancelled_job().await;
    desk.no_workers();
    desk.looked(Some(state(None)));
    assert!(ended(&desk.write()), "nobody is there to store it");
}

#[tokio::test(start_paused = true)]
async fn the_user_of_a_running_job_reads_why_an_image_failed_for_good() {
    let mut desk = Desk::new();
    let uid = desk.accepted();
    tokio::time::advance(Duration::from_secs(11)).await;
    desk.says(JobAnswer::Events(vec![(uid.job(), queue::EventKind::Dead)]));
    desk.jobs.take_changes();
    let error = TaskError { reason: queue::Reason::Timeout, message: "300 s are over".into() };
    let task = TaskId { job: uid.job(), index: 2 };
    let last_dead = Some(Box::new(DeadLetter { task, attempts: 3, failed_ms: 1, error }));
    desk.looked(Some(JobState { waiting: 3, failed: 1, last_dead, ..JobState::default() }));
    let told = desk.write().failures;
    let message = "300 s are over".to_owned();
    assert_eq!(told, [ImageFailure { index: 2, reason: "Timeout".into(), message, attempts: 3 }]);
}

#[tokio::test]
async fn a_queue_that_is_full_has_the_job_wait_and_try_again() {
    let mut desk = Desk::new();
    let uid = desk.see(&json!({}));
    assert!(matches!(desk.order(), Order::Enqueue(_)));
    let full = Failure { message: "Redis is full".into(), away: false };
    desk.says(JobAnswer::Enqueued { job: uid, result: Err(full) });
    assert_eq!(ready(&desk.write()), "QueueUnavailable");
    desk.written(uid);
    let again = desk.jobs.timers.next().expect("tried again");
    desk.jobs.take_timers(again);
    desk.queued(Enqueued::New);
}
