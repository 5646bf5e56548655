//! Step three: what a job's user reads.

use std::{sync::Arc, time::Duration};

use crds::{
    ImageCost, ImageJob, ImageJobStatus,
    conditions::{ConditionType, JobReason, MESSAGE_MAX, cut, find_condition},
    events::EventReason,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;
use queue::{DeadLetter, JobState};
use tokio::time::Instant;

use super::{BACKOFF, FULL_AGAIN, Jobs, Step};
use crate::{
    executors::{
        Failure,
        events::Lane,
        jobs::{Target, Write, Written},
    },
    imagejob::{
        listing::{Tally, failure},
        notices,
        status::{self, End},
    },
    index::{JobRecord, Told, Uid, Why},
    notice::Notice,
    planner::JobNews,
    workerpool::ledger::Images,
};

/// The metrics' label of tenants that the pool's spec does not name.
const OTHER_TENANTS: &str = "other";

/// A status that the API server refused in every extent is tried again after this.
const REFUSED_AGAIN: Duration = Duration::from_secs(600);

/// A status on its way.
pub(super) struct Writing {
    record: JobRecord,
    status: ImageJobStatus,
    extent: Extent,
    what: What,
}

/// How much of a status is written: less, where the API server refuses more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    WithoutLists,
    ConditionsOnly,
}

enum What {
    /// A job that lives.
    Told(Told),
    /// One that ends by it; with what its images cost.
    End(Option<Images>),
    /// An ended one, of which no more is said than that its spec was seen, or that is deleted.
    Ended,
}

impl Jobs {
    /// A job was just queued: its user is told, unless many wait to be told.
    pub(super) fn write_acceptance(&mut self, uid: Uid, again: Option<Why>) {
        let Some(record) = self.index.jobs.live(uid) else { return };
        if again.is_some() || self.slots == 0 {
            // By the time it is its turn it may be done.
            return self.start(uid, Why::Turn);
        }
        let told = record.told.clone();
        self.tell(&record, told);
    }

    /// Writes what is said of a job that lives, if it says anything new.
    pub(super) fn tell(&mut self, record: &JobRecord, told: Told) {
        self.tell_failing(record, told, None);
    }

    /// As [`tell`](Self::tell), with the latest image that failed for good.
    pub(super) fn tell_failing(&mut self, record: &JobRecord, told: Told, failed: Option<&DeadLetter>) {
        let unwritten = self.paces.get(&record.uid).is_some_and(|pace| pace.unwritten);
        if told == record.told && !unwritten {
            return;
        }
        let mut status = status::shown(&told);
        status.failures.extend(failed.map(|dead| failure(dead.task.index, dead.attempts, &dead.error)));
        self.write(record, status, Extent::Whole, What::Told(told));
    }

    /// Writes the status that ends a job.
    pub(super) fn end_with(&mut self, record: &JobRecord, status: ImageJobStatus, booked: Option<Images>) {
        self.write(record, status, Extent::Whole, What::End(booked));
    }

    pub(super) fn cancel_unqueued(&mut self, record: &JobRecord) {
        self.end_with(record, status::cancelled(record, Timestamp::now()), None);
    }

    /// All is over: the images are listed.
    pub(super) fn finish(
        &mut self,
        record: &JobRecord,
        end: End,
        state: &JobState,
        tally: Option<Box<Tally>>,
    ) {
        let Some(tally) = tally else {
            // Its pool went meanwhile.
            return self.start(record.uid, Why::Turn);
        };
        let status = status::ended(record, end, state, &tally, Timestamp::now());
        if let Some(handle) = self.handle(record.pool()) {
            self.learn(record, &tally, &handle);
        }
        self.end_with(record, status, Some(tally.booked()));
    }

    fn write(&mut self, record: &JobRecord, status: ImageJobStatus, extent: Extent, what: What) {
        let refused = self.paces.get(&record.uid).and_then(|pace| pace.refused);
        if refused.is_some_and(|at| at.elapsed() < REFUSED_AGAIN) {
            return;
        }
        if !self.take_slot(record.uid) {
            return;
        }
        if !self.out.writer.order((target(record), Write::Status(Box::new(status.clone())))) {
            self.slots += 1;
            self.timers.set(record.uid, Instant::now() + FULL_AGAIN);
            return;
        }
        let writing = Writing { record: record.clone(), status, extent, what };
        self.begin(record.uid, Step::Writing(Box::new(writing)));
    }

    /// The API server has answered.
    pub(super) fn written(&mut self, uid: Uid, written: Written) {
        let is_writing = |step: &Step| matches!(step, Step::Writing(_));
        let Some((Step::Writing(writing), again)) = self.end(uid, is_writing) else { return };
        let Writing { record, status, extent, what } = *writing;
        match written {
            Written::As(version) => {
                self.went_well(uid);
                self.stands(&record, &status, what, version);
                self.again(uid, again);
            }
            // The watch brings what is newer.
            Written::Conflict => self.retry(uid, BACKOFF),
            Written::Gone => {
                let (namespace, name) = (Arc::clone(&record.namespace), record.name.clone());
                self.ask_whether_there(uid, namespace, name);
            }
            Written::Refused(why) => self.refused(&record, status, extent, what, &why),
            Written::Failed(Failure::Deposed) => {}
            Written::Failed(failure) => {
                tracing::warn!(job = record.path(), error = %failure, "a job's status is not written yet");
                self.retry(uid, BACKOFF);
            }
        }
    }

    /// What was written stands.
    fn stands(&mut self, record: &JobRecord, status: &ImageJobStatus, what: What, version: u64) {
        let uid = record.uid;
        if !matches!(what, What::Ended) {
            let before = record.told.reason.map(|_| status::shown(&record.told));
            // Of one whose acceptance was not written before, all is new.
            let unwritten = self.paces.get(&uid).is_some_and(|pace| pace.unwritten);
            let before = before.filter(|_| !unwritten);
            for notice in notices::between(before.as_ref(), status) {
                self.out.events.tell(Lane::Job, &reference(record), &notice);
            }
        }
        match what {
            What::Told(_) if self.index.jobs.live(uid).is_none() => {} // deleted meanwhile
            What::Told(told) => {
                self.index.jobs.tell(uid, Some(version), told);
                let pace = self.paces.entry(uid).or_default();
                pace.written = Some(Instant::now());
                pace.unwritten = false;
            }
            What::End(booked) => {
                let ended = status.completion_time.as_ref().map_or_else(Timestamp::now, |time| time.0);
                self.index.jobs.end(uid, version, ended);
                self.wake_awaiting(record);
                if let Some(booked) = booked {
                    self.book(record, booked);
                }
                self.count_end(record, status, ended);
                // Only now: until the status stands, the queue holds the only copy of the results.
                self.take_off_queue(uid, record.pool());
                self.drop_traces(uid);
                self.expiry_at = Some(Instant::now());
            }
            What::Ended => self.index.jobs.acknowledged(uid, version, record.generation),
        }
    }

    /// The API server will never take this status: what can be written is written, and nothing is repeated for ever.
    fn refused(&mut self, record: &JobRecord, status: ImageJobStatus, extent: Extent, what: What, why: &str) {
        self.metrics.statuses_refused.with_label_values(&["imagejob"]).inc();
        tracing::error!(job = record.path(), why, "the API server refuses a job's status");
        let note = format!("the API server refuses the job's status: {why}");
        let notice = Notice::warning(EventReason::StatusRefused, "WriteStatus", note);
        self.out.events.tell(Lane::Job, &reference(record), &notice);
        let listed = !(status.results.is_empty() && status.failures.is_empty());
        match extent {
            // Of an ended job there is no other way to say it.
            _ if matches!(what, What::Ended) => {}
            Extent::Whole if listed => {
                self.write(record, without_lists(status, why), Extent::WithoutLists, what);
            }
            Extent::Whole | Extent::WithoutLists => {
                self.write(record, conditions_only(status, why), Extent::ConditionsOnly, what);
            }
            Extent::ConditionsOnly => {
                self.paces.entry(record.uid).or_default().refused = Some(Instant::now());
                self.timers.set(record.uid, Instant::now() + REFUSED_AGAIN);
            }
        }
    }

    fn book(&self, record: &JobRecord, images: Images) {
        let Some(terms) = &record.told.terms else { return };
        let tenant = &terms.tenant;
        if let Some(handle) = self.handle(Some(&terms.pool)) {
            // A closed channel means that the pool is gone.
            let _ = handle.news.send(JobNews::Booked { tenant: Arc::clone(tenant), images });
        }
        let pool = self.index.pools.get(&terms.pool);
        let named = pool.is_some_and(|pool| {
            pool.object.spec.fairness.tenants.iter().any(|share| *share.name == **tenant)
        });
        let labels =
            [terms.pool.to_string(), if named { tenant.to_string() } else { OTHER_TENANTS.to_owned() }];
        let ImageCost { made: _, gpu_seconds, amount, on_demand_amount: _ } = images.cost();
        #[allow(clippy::cast_precision_loss)] // counters are floating-point numbers
        let amount = amount.micros() as f64 / 1e6;
        self.metrics.tenant_gpu_seconds.with_label_values(&labels).inc_by(gpu_seconds.to_f64());
        self.metrics.tenant_cost.with_label_values(&labels).inc_by(amount);
    }

    fn count_end(&self, record: &JobRecord, status: &ImageJobStatus, ended: Timestamp) {
        let Some(pool) = record.pool() else { return };
        if let Some(ready) = find_condition(&status.conditions, ConditionType::Ready) {
            let labels = [pool.to_string(), ready.reason.clone()];
            self.metrics.jobs_finished.with_label_values(&labels).inc();
        }
        let took = Duration::try_from(ended.duration_since(record.created)).unwrap_or_default();
        self.metrics.job_seconds.observe(took.as_secs_f64());
    }

    /// An ended job answers to a change of its spec too: until then tools that wait for `observedGeneration` would take
    /// it for unfinished.
    pub(super) fn tend_ended(&mut self, uid: Uid) {
        let Some(ended) = self.index.jobs.ended(uid) else { return };
        self.expiry_at = Some(Instant::now());
        if ended.observed != ended.generation {
            self.order_ended(uid, Write::Acknowledge(ended.generation));
        }
    }

    /// Something to do to a job that has ended.
    pub(super) fn order_ended(&mut self, uid: Uid, write: Write) {
        let Some(ended) = self.index.jobs.ended(uid) else { return };
        if self.steps.contains_key(&uid) || !self.take_slot(uid) {
            return;
        }
        let target = Target {
            uid,
            namespace: Arc::clone(&ended.namespace),
            name: ended.name.clone(),
            version: ended.version,
        };
        if !self.out.writer.order((target, write)) {
            self.slots += 1;
            self.timers.set(uid, Instant::now() + FULL_AGAIN);
            return;
        }
        let record = ended.record(uid);
        let (status, extent) = (ImageJobStatus::default(), Extent::Whole);
        let writing = Writing { record, status, extent, what: What::Ended };
        self.begin(uid, Step::Writing(Box::new(writing)));
    }
}

fn target(record: &JobRecord) -> Target {
    Target {
        uid: record.uid,
        namespace: Arc::clone(&record.namespace),
        name: record.name.clone(),
        version: record.version,
    }
}

fn reference(record: &JobRecord) -> ObjectReference {
    ObjectReference {
        api_version: Some(ImageJob::api_version(&()).into_owned()),
        kind: Some(ImageJob::kind(&()).into_owned()),
        namespace: Some(record.namespace.to_string()),
        name: Some(record.name.to_string()),
        uid: Some(record.uid.to_string()),
        ..ObjectReference::default()
    }
}

/// The status without its lists, and why they are missing.
fn without_lists(status: ImageJobStatus, why: &str) -> ImageJobStatus {
    let status = ImageJobStatus { results: Vec::new(), failures: Vec::new(), ..status };
    explained(status, &format!("the images are not listed, the API server refuses the list: {why}"))
}

/// No more than how the job stands, and why there is no more.
fn conditions_only(status: ImageJobStatus, why: &str) -> ImageJobStatus {
    let ImageJobStatus {
        observed_generation,
        conditions,
        progress,
        counts,
        pool,
        class,
        completion_time,
        ..
    } = status;
    let status = ImageJobStatus {
        observed_generation,
        conditions,
        progress,
        counts,
        pool,
        class,
        completion_time,
        ..ImageJobStatus::default()
    };
    explained(status, &format!("{}: {why}", JobReason::StatusRefused))
}

fn explained(mut status: ImageJobStatus, why: &str) -> ImageJobStatus {
    for condition in &mut status.conditions {
        condition.message = cut(&format!("{}; {why}", condition.message), MESSAGE_MAX);
    }
    status
}
