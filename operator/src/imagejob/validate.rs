//! From what a user wrote and what it refers to, to a job the queue can take. Pure.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crds::{
    ClassSpec, ImageJobSpec, ImageRecipeSpec, JobOutput, Tenancy, TenantShare, WorkerPool,
    conditions::JobReason,
};
use jiff::Timestamp;
use queue::Job;
use telemetry::Traceparent;

use super::{
    inputs::File,
    listing::MAX_IMAGES,
    work::{self, Kept},
};
use crate::{
    engines::Known,
    index::{JobRecord, PoolKey, Terms},
};

/// What a job refers to.
#[derive(Debug, Clone)]
pub(crate) struct References {
    /// The pool that accepted it, else the one it names or the namespace's default one.
    pub(crate) pool_key: Option<PoolKey>,
    /// That pool, if it exists.
    pub(crate) pool: Option<Arc<WorkerPool>>,
    /// Whether the pool lets the job's namespace use it.
    pub(crate) allowed: bool,
    /// What the pool's workers have; `None`: not known.
    pub(crate) known: Option<Known>,
    /// The content of the workflow's ConfigMap, of the job's or of the recipe's.
    pub(crate) workflow: Source<Vec<u8>>,
    pub(crate) recipe: Source<Box<ImageRecipeSpec>>,
    /// Inputs that are read by the operator, by their names.
    pub(crate) files: BTreeMap<String, Source<File>>,
    /// The job's labels that its objects carry.
    pub(crate) labels_carried: BTreeMap<String, String>,
    /// The trace that its images belong to.
    pub(crate) traceparent: Option<Traceparent>,
}

/// Something that a job refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source<T> {
    /// It is in the job itself, or there is none.
    Inline,
    Found(T),
    /// It is not there (yet); why, for people.
    Missing {
        message: String,
    },
}

impl<T> Source<T> {
    pub(crate) fn map<U>(self, what: impl FnOnce(T) -> U) -> Source<U> {
        match self {
            Self::Inline => Source::Inline,
            Self::Found(found) => Source::Found(what(found)),
            Self::Missing { message } => Source::Missing { message },
        }
    }
}

/// A job that can be queued.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Accepted {
    pub(crate) job: Job,
    pub(crate) terms: Terms,
}

/// Why a job can't be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: JobReason,
    pub(crate) message: String,
    pub(crate) course: Course,
}

/// What a problem makes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// It waits: something it refers to may yet appear or change.
    Waits,
    /// It ends: its own spec will never work.
    Ends,
}

impl Problem {
    pub(crate) fn waits(reason: JobReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), course: Course::Waits }
    }

    pub(crate) fn ends(reason: JobReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), course: Course::Ends }
    }
}

/// The job as the queue takes it, or why it can't. What it was accepted with before holds.
/// `seconds`: what one image of a model and so many units should take, by what the pool has learned.
pub(crate) fn validate(
    record: &JobRecord,
    spec: &ImageJobSpec,
    references: &References,
    seconds: impl Fn(&str, f64) -> f64,
    now: Timestamp,
) -> Result<Accepted, Problem> {
    let References { pool_key, pool, allowed, .. } = references;
    let before = record.told.terms.as_deref();
    let (Some(key), Some(pool)) = (pool_key, pool) else {
        return Err(no_pool(record, pool_key.as_ref()));
    };
    if !allowed && before.is_none() {
        return Err(not_allowed(record, key));
    }
    let promise = match before {
        Some(terms) => Promise::kept(terms, pool),
        None => Promise::new(record, spec, key, pool)?,
    };
    let kept = Kept {
        segments: before.map(|terms| terms.segments.unwrap_or(1)),
        seed: before.and_then(|terms| terms.seed),
        is_new: before.is_none(),
    };
    let made = work::make(record, spec, pool, references, kept, promise.capacity, seconds)?;
    if let Some(accepted) = before.and_then(|terms| terms.digest.as_deref())
        && made.digest.as_deref() != Some(accepted)
    {
        return Err(changed());
    }
    let terms = Terms {
        pool: key.clone(),
        pool_uid: match before {
            Some(terms) => terms.pool_uid.clone(),
            None => pool.metadata.uid.as_deref().map(Into::into),
        },
        class: promise.class.as_str().into(),
        tenant: promise.tenant.as_str().into(),
        model: Some(made.model.as_str().into()),
        work: Some(made.work.as_str().into()),
        units: Some(made.units),
        accepted: before.map_or(now, |terms| terms.accepted),
        sla_seconds: promise.sla_seconds,
        weight: promise.weight,
        seed: made.seed,
        segments: made.segments,
        digest: made.digest.map(Into::into),
        output: before.and_then(|terms| terms.output.clone()).or_else(|| Some(Arc::new(output(pool)))),
    };
    let arrival = if before.is_some() { record.told.arrival().unwrap_or(now) } else { now };
    Ok(Accepted {
        job: Job {
            uid: record.uid.job(),
            weight: f64::from(promise.weight),
            max_running: promise.max_running,
            tenant: promise.tenant,
            class: promise.class,
            model: made.model,
            work: made.work,
            unit_ms: made.unit_ms,
            arrival_ms: millis(arrival),
            sla: Duration::from_secs(u64::from(promise.sla_seconds)),
            units: made.units,
            total: spec.count,
            retries: spec.retries,
            max_failed_images: spec.max_failed_images,
            listing: spec.count as usize > MAX_IMAGES,
            recheck: before.is_some(),
            suspended: spec.suspend,
            payload: made.payload.into(),
        },
        terms,
    })
}

/// What a job's class and tenant are promised.
struct Promise {
    class: String,
    tenant: String,
    sla_seconds: u32,
    weight: u32,
    max_running: Option<u32>,
    capacity: crds::ClassCapacity,
}

impl Promise {
    fn new(
        record: &JobRecord,
        spec: &ImageJobSpec,
        key: &PoolKey,
        pool: &WorkerPool,
    ) -> Result<Self, Problem> {
        let class = class(spec, key, pool)?;
        let tenant = tenant(record, key, pool)?;
        let share = share(pool, &tenant);
        Ok(Self {
            class: class.name.clone(),
            sla_seconds: due_within(spec, class)?,
            weight: share.map_or(pool.spec.fairness.default_weight, |share| share.weight),
            max_running: max_running(pool, &tenant),
            capacity: class.capacity(&pool.spec),
            tenant,
        })
    }

    /// How many images of a tenant run at once is the pool's to say at any time.
    fn kept(terms: &Terms, pool: &WorkerPool) -> Self {
        Self {
            class: terms.class.to_string(),
            tenant: terms.tenant.to_string(),
            sla_seconds: terms.sla_seconds,
            weight: terms.weight,
            max_running: max_running(pool, &terms.tenant),
            capacity: crds::ClassCapacity::Spot,
        }
    }
}

/// The class's promise, unless the job has more time.
fn due_within(spec: &ImageJobSpec, class: &ClassSpec) -> Result<u32, Problem> {
    match spec.due_within_seconds {
        Some(seconds) if seconds < class.sla_seconds => Err(Problem::waits(
            JobReason::DueTooSoon,
            format!(
                "spec.dueWithinSeconds is {seconds}, and class {} promises {} seconds; choose a more urgent class",
                class.name, class.sla_seconds
            ),
        )),
        Some(seconds) => Ok(seconds),
        None => Ok(class.sla_seconds),
    }
}

fn share<'a>(pool: &'a WorkerPool, tenant: &str) -> Option<&'a TenantShare> {
    pool.spec.fairness.tenants.iter().find(|share| share.name == tenant)
}

/// How many images of a tenant may be made at once.
fn max_running(pool: &WorkerPool, tenant: &str) -> Option<u32> {
    match share(pool, tenant) {
        Some(share) => share.max_running,
        None => pool.spec.limits.max_running_per_tenant,
    }
}

/// Whose job it is, if the pool lets the job say so.
fn tenant(record: &JobRecord, key: &PoolKey, pool: &WorkerPool) -> Result<String, Problem> {
    let tenant = record.tenant();
    match pool.spec.fairness.tenancy {
        Tenancy::Namespace if *tenant != record.namespace => Err(Problem::waits(
            JobReason::TenantNotAllowed,
            format!(
                "spec.tenant is {tenant:?}, and WorkerPool {key} takes the namespace, {}, for the tenant \
                 (spec.fairness.tenancy)",
                record.namespace
            ),
        )),
        Tenancy::Namespace | Tenancy::Field => Ok(tenant.to_string()),
    }
}

/// Where a pool's images go.
pub(crate) fn output(pool: &WorkerPool) -> JobOutput {
    let output = &pool.spec.output;
    JobOutput {
        endpoint: output.endpoint.clone(),
        bucket: output.bucket.clone(),
        key_prefix: output.key_prefix.clone(),
        public_url: output.public_url.clone(),
    }
}

fn changed() -> Problem {
    Problem::ends(
        JobReason::WorkflowChanged,
        "the ConfigMap or the recipe holds another workflow than the one that was accepted, and the queue has lost that \
         one; images made so far stay",
    )
}

fn not_allowed(record: &JobRecord, key: &PoolKey) -> Problem {
    Problem::waits(
        JobReason::PoolNotAllowed,
        format!(
            "WorkerPool {key} does not let namespace {} use it (spec.allowedNamespaces)",
            record.namespace
        ),
    )
}

/// That the pool is not there.
pub(crate) fn no_pool(record: &JobRecord, key: Option<&PoolKey>) -> Problem {
    let message = match key {
        Some(key) => format!("WorkerPool {key} does not exist (yet)"),
        None => format!(
            "spec.poolRef names no pool, and namespace {} has no WorkerPool with default: true",
            record.namespace
        ),
    };
    Problem::waits(JobReason::PoolNotFound, message)
}

fn class<'a>(spec: &ImageJobSpec, key: &PoolKey, pool: &'a WorkerPool) -> Result<&'a ClassSpec, Problem> {
    let classes = &pool.spec.classes;
    let found = match &spec.class {
        Some(name) => classes.iter().find(|class| class.name == *name),
        None => classes.iter().find(|class| class.default),
    };
    found.ok_or_else(|| {
        let message = match &spec.class {
            Some(name) => no_class(name, key, pool),
            None => format!(
                "spec.class is not set and WorkerPool {key} has no default class; it has: {}",
                class_names(pool)
            ),
        };
        Problem::waits(JobReason::ClassNotFound, message)
    })
}

/// That a pool has no class of this name.
pub(crate) fn no_class(name: &str, key: &PoolKey, pool: &WorkerPool) -> String {
    format!("WorkerPool {key} has no class {name:?}; it has: {}", class_names(pool))
}

fn class_names(pool: &WorkerPool) -> String {
    let names: Vec<&str> = pool.spec.classes.iter().map(|class| class.name.as_str()).collect();
    names.join(", ")
}

/// Milliseconds since the Unix epoch.
pub(crate) fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
