//! What is kept of a job in memory.

use std::sync::Arc;

use crds::{
    Condition, Counts, JobOutput,
    conditions::{ConditionType, JobReason, find_condition, is_true},
};
use jiff::{SignedDuration, Timestamp};

use super::{
    PoolKey, Uid,
    intern::Names,
    wire::{JobObject, PictureSeen, SpecSeen, StatusSeen},
};

/// A job that has not ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobRecord {
    pub(crate) uid: Uid,
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Box<str>,
    pub(crate) created: Timestamp,
    /// `metadata.resourceVersion`: a later one is greater. So it is for every API server that keeps its objects in
    /// etcd, and by the API's own rules since Kubernetes 1.35 (KEP-5504).
    pub(crate) version: u64,
    pub(crate) generation: Option<i64>,
    /// It was deleted, and something still keeps it.
    pub(crate) deleting: bool,
    pub(crate) spec: JobSpec,
    pub(crate) told: Told,
}

/// What a job asks for, less the work.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobSpec {
    /// The pool it names.
    pub(crate) pool: Option<PoolKey>,
    pub(crate) tenant: Option<Arc<str>>,
    /// Of textToImage; which models other work needs is not known before it is read.
    pub(crate) model: Option<Arc<str>>,
    /// Work in one image; likewise.
    pub(crate) units: Option<f64>,
    pub(crate) count: u32,
    pub(crate) ttl_seconds: Option<u32>,
    pub(crate) suspend: bool,
    pub(crate) cancel: bool,
}

/// What a job's status says. From this and the queue's answers the next status is made.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Told {
    pub(crate) generation: Option<i64>,
    /// Of the conditions Ready and Reconciling; `None`: nothing was told yet.
    pub(crate) reason: Option<JobReason>,
    pub(crate) message: Box<str>,
    /// Since when the two are as they are.
    pub(crate) since: Option<Timestamp>,
    pub(crate) late: Option<Box<Condition>>,
    pub(crate) sla: Option<Sla>,
    pub(crate) counts: Option<Counts>,
    pub(crate) started: Option<Timestamp>,
    pub(crate) estimated: Option<Timestamp>,
    pub(crate) interruptions: Option<u32>,
    pub(crate) retries: Option<u32>,
    pub(crate) suspended_since: Option<Timestamp>,
    /// Whole suspensions before that.
    pub(crate) suspended_seconds: u64,
    /// `None`: the job is not accepted.
    pub(crate) terms: Option<Arc<Terms>>,
}

/// How a job stands with its promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sla {
    /// There is still time.
    Pending,
    /// There is still time, but by the pool's forecast not enough.
    AtRisk,
    /// Every image was made in time.
    Met,
    /// Time ran out before every image was made, or an image failed for good.
    Missed,
}

/// What a job was accepted with. It holds for the job's whole life, whatever becomes of its pool and its ConfigMap.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Terms {
    pub(crate) pool: PoolKey,
    /// Of the pool that accepted it: one of the same name may follow.
    pub(crate) pool_uid: Option<Arc<str>>,
    pub(crate) class: Arc<str>,
    pub(crate) tenant: Arc<str>,
    /// What a worker must have loaded; `None`: not known since the operator was started.
    pub(crate) model: Option<Arc<str>>,
    /// What tells it from other work in how long it takes; likewise.
    pub(crate) work: Option<Arc<str>>,
    /// Work in one image; likewise.
    pub(crate) units: Option<f64>,
    /// The due clock starts here.
    pub(crate) accepted: Timestamp,
    pub(crate) sla_seconds: u32,
    pub(crate) weight: u32,
    /// Seed of image 0 of textToImage.
    pub(crate) seed: Option<u64>,
    /// In how many segments each image is made.
    pub(crate) segments: Option<u32>,
    /// Of a workflow.
    pub(crate) digest: Option<Box<str>>,
    pub(crate) output: Option<Arc<JobOutput>>,
}

/// A job that has ended, as long as its object is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EndedJob {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Box<str>,
    pub(crate) version: u64,
    pub(crate) generation: Option<i64>,
    /// The generation that its status speaks of.
    pub(crate) observed: Option<i64>,
    pub(crate) ended: Timestamp,
    /// The pool that it was accepted by.
    pub(crate) pool: Option<PoolKey>,
    /// Of its own; without one its pool's default counts.
    pub(crate) ttl_seconds: Option<u32>,
}

/// A job of either kind.
#[derive(Debug)]
pub(super) enum Job {
    Live(Box<JobRecord>),
    Ended(EndedJob),
}

/// An object without what every object of the API server has.
#[derive(Debug, thiserror::Error)]
#[error("an ImageJob without {0}")]
pub(super) struct Incomplete(&'static str);

impl Job {
    pub(super) fn read(object: &JobObject, names: &mut Names) -> Result<(Uid, Self), Incomplete> {
        let meta = &object.metadata;
        let uid =
            meta.uid.as_deref().and_then(|uid| uid.parse().ok()).ok_or(Incomplete("a UUID as its uid"))?;
        let namespace = names.get(meta.namespace.as_deref().ok_or(Incomplete("a namespace"))?);
        let name: Box<str> = meta.name.as_deref().ok_or(Incomplete("a name"))?.into();
        let version = meta.resource_version.as_deref().and_then(|version| version.parse().ok());
        let version = version.ok_or(Incomplete("a number as its resourceVersion"))?;
        let created = meta.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let status = &object.status;
        if ended(&status.conditions) {
            let ended = status.completion_time.as_ref().map_or(created, |time| time.0);
            let pool = status.pool.as_ref();
            let pool = pool.map(|pool| PoolKey::new(names.get(&pool.namespace), names.get(&pool.name)));
            return Ok((
                uid,
                Self::Ended(EndedJob {
                    namespace,
                    name,
                    version,
                    generation: meta.generation,
                    observed: status.observed_generation,
                    ended,
                    pool,
                    ttl_seconds: object.spec.ttl_seconds_after_finished,
                }),
            ));
        }
        let spec = spec(&object.spec, &namespace, names);
        let told = told(status, &namespace, created, names);
        let record = JobRecord {
            uid,
            namespace,
            name,
            created,
            version,
            generation: meta.generation,
            deleting: meta.deletion_timestamp.is_some(),
            spec,
            told,
        };
        Ok((uid, Self::Live(Box::new(record))))
    }

    pub(super) fn version(&self) -> u64 {
        match self {
            Self::Live(record) => record.version,
            Self::Ended(ended) => ended.version,
        }
    }

    pub(super) fn place(&self) -> (&Arc<str>, &str) {
        match self {
            Self::Live(record) => (&record.namespace, &record.name),
            Self::Ended(ended) => (&ended.namespace, &ended.name),
        }
    }
}

impl JobRecord {
    /// The pool that accepted it, else the one it names.
    pub(crate) fn pool(&self) -> Option<&PoolKey> {
        self.told.terms.as_ref().map(|terms| &terms.pool).or(self.spec.pool.as_ref())
    }

    /// What a worker must have loaded, if it is known.
    pub(crate) fn model(&self) -> Option<&str> {
        let accepted = self.told.terms.as_ref().and_then(|terms| terms.model.as_deref());
        accepted.or(self.spec.model.as_deref())
    }

    /// What tells its work from other work in how long it takes, if it is known.
    pub(crate) fn work(&self) -> Option<String> {
        let accepted = self.told.terms.as_ref().and_then(|terms| terms.work.as_deref());
        accepted.map(str::to_owned).or_else(|| self.spec.model.as_deref().map(picture_work))
    }

    /// Work in one image, if it is known.
    pub(crate) fn units(&self) -> Option<f64> {
        self.told.terms.as_ref().and_then(|terms| terms.units).or(self.spec.units)
    }

    /// `namespace/name`.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whose job it is.
    pub(crate) fn tenant(&self) -> &Arc<str> {
        self.spec.tenant.as_ref().unwrap_or(&self.namespace)
    }
}

impl EndedJob {
    /// As far as it is known, for what is still done to it.
    pub(crate) fn record(&self, uid: Uid) -> JobRecord {
        JobRecord {
            uid,
            namespace: Arc::clone(&self.namespace),
            name: self.name.clone(),
            created: self.ended,
            version: self.version,
            generation: self.generation,
            deleting: false,
            spec: JobSpec {
                pool: None,
                tenant: None,
                model: None,
                units: None,
                count: 0,
                ttl_seconds: self.ttl_seconds,
                suspend: false,
                cancel: false,
            },
            told: Told::default(),
        }
    }
}

impl Told {
    /// When the due clock started, moved by the time the job was suspended; `None`: it stands still.
    pub(crate) fn arrival(&self) -> Option<Timestamp> {
        let terms = self.terms.as_ref().filter(|_| self.suspended_since.is_none())?;
        terms
            .accepted
            .checked_add(SignedDuration::from_secs(i64::try_from(self.suspended_seconds).ok()?))
            .ok()
    }

    /// When every image should be made; `None`: nothing was promised, or the clock stands still.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        let terms = self.terms.as_ref()?;
        self.arrival()?.checked_add(SignedDuration::from_secs(i64::from(terms.sla_seconds))).ok()
    }
}

/// The work of textToImage with a model.
pub(crate) fn picture_work(model: &str) -> String {
    format!("t:{model}")
}

/// The work of imageToImage with a model.
pub(crate) fn image_work(model: &str) -> String {
    format!("i:{model}")
}

/// Steps × width × height / 512²: what the time of an image grows with.
fn units(picture: &PictureSeen) -> Option<f64> {
    let PictureSeen { model: _, width, height, steps } = picture;
    Some(f64::from((*steps)?) * f64::from((*width)?) * f64::from((*height)?) / (512.0 * 512.0))
}

fn ended(conditions: &[Condition]) -> bool {
    is_true(conditions, ConditionType::Complete) || is_true(conditions, ConditionType::Failed)
}

fn spec(seen: &SpecSeen, namespace: &Arc<str>, names: &mut Names) -> JobSpec {
    let SpecSeen { pool_ref, tenant, work, count, ttl_seconds_after_finished, suspend, cancel } = seen;
    let mut pool = |pool: &crds::PoolRef| {
        let namespace = pool.namespace.as_deref().map_or_else(|| Arc::clone(namespace), |n| names.get(n));
        PoolKey::new(namespace, names.get(&pool.name))
    };
    JobSpec {
        pool: pool_ref.as_ref().map(&mut pool),
        tenant: tenant.as_deref().map(|tenant| names.get(tenant)),
        model: work.text_to_image.as_ref().map(|picture| names.get(&picture.model)),
        units: work.text_to_image.as_ref().and_then(units),
        count: *count,
        ttl_seconds: *ttl_seconds_after_finished,
        suspend: *suspend,
        cancel: *cancel,
    }
}

fn told(status: &StatusSeen, namespace: &Arc<str>, created: Timestamp, names: &mut Names) -> Told {
    let ready = find_condition(&status.conditions, ConditionType::Ready);
    let time = |time: &Option<crds::Time>| time.as_ref().map(|time| time.0);
    let late = find_condition(&status.conditions, ConditionType::Late);
    Told {
        generation: status.observed_generation,
        reason: ready.and_then(|ready| reason(&ready.reason)),
        message: ready.map_or("", |ready| &ready.message).into(),
        since: ready.map(|ready| ready.last_transition_time.0),
        late: late.cloned().map(Box::new),
        sla: status.pool.is_some().then(|| late.map_or(Sla::Pending, |late| stands(&late.reason))),
        counts: status.counts,
        started: time(&status.start_time),
        estimated: time(&status.estimated_completion_time),
        interruptions: status.interruptions,
        retries: status.retries,
        suspended_since: time(&status.suspended_time),
        suspended_seconds: status.suspended_seconds.unwrap_or_default(),
        terms: terms(status, namespace, created, names).map(Arc::new),
    }
}

/// How a job that has not ended stands, by the reason of its condition Late.
fn stands(reason: &str) -> Sla {
    match reason {
        reason if reason == JobReason::SlaAtRisk.as_str() => Sla::AtRisk,
        reason if reason == JobReason::SlaMissed.as_str() => Sla::Missed,
        _ => Sla::Pending,
    }
}

fn reason(text: &str) -> Option<JobReason> {
    JobReason::ALL.iter().copied().find(|reason| reason.as_str() == text)
}

fn terms(status: &StatusSeen, namespace: &Arc<str>, created: Timestamp, names: &mut Names) -> Option<Terms> {
    let pool = status.pool.as_ref()?;
    let pool_uid = pool.uid.as_deref().map(|uid| names.get(uid));
    let pool = PoolKey::new(names.get(&pool.namespace), names.get(&pool.name));
    Some(Terms {
        pool,
        pool_uid,
        class: names.get(status.class.as_deref().unwrap_or_default()),
        tenant: status.tenant.as_deref().map_or_else(|| Arc::clone(namespace), |tenant| names.get(tenant)),
        model: None,
        work: None,
        units: None,
        accepted: status.accepted_time.as_ref().map_or(created, |time| time.0),
        sla_seconds: status.sla_seconds.unwrap_or_default(),
        weight: status.weight.unwrap_or(1),
        seed: status.seed,
        segments: status.segments,
        digest: status.workflow_digest.as_deref().map(Into::into),
        output: status.output.as_ref().map(|output| names.output(output)),
    })
}

/// The record of a job that has not ended.
#[cfg(test)]
pub(crate) fn record(job: &crds::ImageJob) -> JobRecord {
    let object = serde_json::from_str(&serde_json::to_string(job).unwrap()).unwrap();
    match Job::read(&object, &mut Names::default()).unwrap() {
        (_, Job::Live(record)) => *record,
        (_, Job::Ended(ended)) => panic!("{ended:?}"),
    }
}
