//! Step one: from a job's spec to its place on the queue. And the same again, for jobs that the queue has lost.

use std::sync::Arc;

use crds::{ImageJobSpec, NamespacesFrom, WorkerPool, conditions::JobReason};
use jiff::Timestamp;
use kube::core::SelectorExt as _;
use queue::{Enqueued, ServerRun};

use super::{BACKOFF, FULL_AGAIN, Filling, Jobs, POLL, Step};
use crate::{
    engines::Known,
    executors::loader::{Found, Loaded, Missing, Place, Question},
    imagejob::{
        status::{self, PoolSeen},
        validate::{self, Accepted, Course, Problem, References, validate},
    },
    index::{JobRecord, PoolKey, PoolRecord, Terms, Uid, Whole, Why},
    keeper::{Coming, Failure, NewJob, Order},
};

/// Up to so many jobs that a queue has lost are read one by one; more, by a list.
const ONE_BY_ONE: usize = 20;

impl Jobs {
    /// Queues a job whose spec is at hand and refers to nothing else; asks for the rest otherwise.
    pub(super) fn accept(&mut self, record: &JobRecord) {
        let key = self.pool_of(record);
        let Some(pool) = key.as_ref().and_then(|key| self.index.pools.get(key)) else {
            return self.tell_problem(record, &validate::no_pool(record, key.as_ref()));
        };
        let labels = needs_labels(record, &pool.object);
        let text = self.index.jobs.text(record.uid);
        let whole: Option<Box<Whole>> =
            text.and_then(|text| serde_json::from_str(text.get()).ok()).map(Box::new);
        if let Some(whole) = &whole {
            self.trace_acceptance(record, whole);
        }
        match whole {
            Some(whole) if !labels && !refers(&whole.spec) => {
                self.queue(record, pool, &Loaded::alone(*whole));
            }
            whole => self.load(record, whole, labels),
        }
    }

    fn load(&mut self, record: &JobRecord, whole: Option<Box<Whole>>, labels: bool) {
        let question = Question::Job { place: place(record), whole, labels };
        if self.out.loader.order(question) {
            self.begin(record.uid, Step::Loading);
        } else {
            self.timers.set(record.uid, tokio::time::Instant::now() + FULL_AGAIN);
        }
    }

    /// The loader has an answer.
    pub(super) fn found(&mut self, found: Found) {
        match found {
            Found::Job { uid, result } => self.loaded(uid, result),
            Found::Unread(uids) => uids.into_iter().for_each(|uid| self.unread(uid)),
            Found::IsThere { uid, there } => self.is_there(uid, there),
            Found::Gone(uids) => self.surely_gone(uids),
        }
    }

    fn unread(&mut self, uid: Uid) {
        if self.end(uid, is_loading).is_some() {
            self.retry(uid, BACKOFF);
        }
    }

    fn loaded(&mut self, uid: Uid, result: Result<Box<Loaded>, Missing>) {
        let Some((_, again)) = self.end(uid, is_loading) else { return };
        let Some(record) = self.index.jobs.live(uid) else { return };
        match result {
            Err(Missing::Job) => {
                let Place { uid, namespace, name } = place(&record);
                self.ask_whether_there(uid, namespace, name);
            }
            Err(Missing::Unanswered(why)) => {
                tracing::debug!(job = record.path(), why, "a job is not read yet");
                self.retry(uid, BACKOFF);
            }
            // Its user has changed it since it was read.
            Ok(_) if again >= Some(Why::Spec) => self.again(uid, again),
            Ok(loaded) => {
                let key = self.pool_of(&record);
                match key.as_ref().and_then(|key| self.index.pools.get(key)) {
                    Some(pool) => self.queue(&record, pool, &loaded),
                    None => self.tell_problem(&record, &validate::no_pool(&record, key.as_ref())),
                }
            }
        }
    }

    fn queue(&mut self, record: &JobRecord, pool: PoolRecord, loaded: &Loaded) {
        self.trace_acceptance(record, &loaded.whole);
        let references = References {
            pool_key: Some(pool.key.clone()),
            allowed: is_allowed(record, &pool.object, loaded),
            workflow: loaded.workflow.clone(),
            recipe: loaded.recipe.clone(),
            files: loaded.files.clone(),
            labels_carried: loaded.whole.labels.clone(),
            traceparent: self.traceparent(record, &loaded.whole),
            known: self.engines_have(&pool.key),
            pool: Some(pool.object),
        };
        let seconds = |model: &str, units: f64| self.image_seconds(&pool.key, model, units);
        match validate(record, &loaded.whole.spec, &references, seconds, Timestamp::now()) {
            Ok(accepted) => {
                self.no_longer_awaits(record.uid);
                self.enqueue(record, accepted);
            }
            Err(problem) => {
                if problem.reason == JobReason::InputNotFound {
                    self.await_files(record, &loaded.whole.spec);
                }
                self.tell_problem(record, &problem);
            }
        }
    }

    fn await_files(&mut self, record: &JobRecord, spec: &ImageJobSpec) {
        for source in spec.inputs.iter().filter_map(|input| input.from.job.as_ref()) {
            let place = (Arc::clone(&record.namespace), source.name.clone());
            self.awaiting.entry(place).or_default().insert(record.uid);
        }
    }

    fn enqueue(&mut self, record: &JobRecord, accepted: Accepted) {
        let Accepted { job, terms } = accepted;
        let (uid, coming) = (record.uid, Coming::of(&job));
        let kib = u32::try_from(job.payload.len() / 1024 + 1).unwrap_or(u32::MAX);
        let full = |jobs: &mut Self| jobs.timers.set(uid, tokio::time::Instant::now() + FULL_AGAIN);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(kib) else { return full(self) };
        let Some(handle) = self.handle(Some(&terms.pool)) else { return full(self) };
        // A job that was queued before is in the last snapshot, or soon will be again.
        let coming = coming.filter(|_| record.told.terms.is_none());
        let is_new = coming.is_some();
        if !handle.keeper.enqueue(NewJob { uid, job, room: Some(room) }, coming) {
            return full(self);
        }
        if is_new {
            self.index.pools.wake(&terms.pool);
        }
        let terms = self.shared(terms);
        let pool = terms.pool.clone();
        self.begin_at(uid, Step::Queueing(Box::new(terms)), &pool, &handle);
    }

    /// The queue has answered.
    pub(super) fn enqueued(&mut self, uid: Uid, pool: &PoolKey, result: Result<Enqueued, Failure>) {
        let is_queueing = |step: &Step| matches!(step, Step::Queueing(_));
        let Some((Step::Queueing(terms), again)) = self.end(uid, is_queueing) else { return };
        let Some(record) = self.index.jobs.live(uid) else {
            return self.take_off_queue(uid, Some(pool)); // deleted meanwhile
        };
        match result {
            Ok(enqueued) => {
                self.went_well(uid);
                self.filled(uid);
                self.accepted_in_trace(uid, pool);
                self.index.jobs.drop_text(uid);
                if record.told.terms.is_none() {
                    let told = status::queued(&record, *terms, &self.pool_seen(pool, None), Timestamp::now());
                    self.index.jobs.tell(uid, None, told);
                    self.paces.entry(uid).or_default().unwritten = true;
                }
                // It may have come far since it was first queued: nothing more need happen to it that would be told.
                match enqueued {
                    Enqueued::New => self.write_acceptance(uid, again),
                    Enqueued::Known => self.again(uid, again.max(Some(Why::Turn))),
                }
            }
            Err(failure) => self.queue_failed(&record, &failure),
        }
    }

    /// An error is not an empty queue: the job stays as it is, and its user is told once it is not moving.
    pub(super) fn queue_failed(&mut self, record: &JobRecord, failure: &Failure) {
        let uid = record.uid;
        self.retry(uid, POLL);
        let now = Timestamp::now();
        if record.told.terms.is_none() || !failure.away {
            // That Redis is away the pool says, once for all its jobs.
            if !failure.away {
                tracing::warn!(
                    job = record.path(),
                    error = failure.message,
                    "the queue can't take or show this job"
                );
            }
            let problem = Problem::waits(JobReason::QueueUnavailable, failure.message.as_str());
            self.tell(record, status::waits(record, &problem, now));
        } else if let Some(overdue) = status::overdue(record, now) {
            self.tell(record, overdue);
        }
    }

    /// It can't be queued as things stand, or never.
    fn tell_problem(&mut self, record: &JobRecord, problem: &Problem) {
        self.filled(record.uid);
        self.refused_in_trace(record.uid, problem);
        let now = Timestamp::now();
        match problem.course {
            Course::Ends => self.end_with(record, status::refused(record, problem, now), None),
            Course::Waits => {
                // A pool tells of its changes, nothing else does.
                let told_by_pool = matches!(
                    problem.reason,
                    JobReason::PoolNotFound
                        | JobReason::ClassNotFound
                        | JobReason::TenantNotAllowed
                        | JobReason::LimitExceeded
                        | JobReason::DueTooSoon
                );
                if !told_by_pool {
                    self.retry(record.uid, POLL);
                }
                self.tell(record, status::waits(record, problem, now));
            }
        }
    }

    /// How a job's pool is, as its user is told.
    pub(super) fn pool_seen(&self, key: &PoolKey, class: Option<&str>) -> PoolSeen {
        let Some(pool) = self.index.pools.get(key) else { return PoolSeen::Gone };
        let spec = &pool.object.spec;
        match class.filter(|name| !spec.classes.iter().any(|class| class.name == *name)) {
            Some(class) => PoolSeen::WithoutClass(validate::no_class(class, key, &pool.object)),
            None if spec.suspend => PoolSeen::Suspended,
            None => PoolSeen::Open,
        }
    }

    /// What one image should take, by what the pool has learned.
    fn image_seconds(&self, key: &PoolKey, model: &str, units: f64) -> f64 {
        let Some(handle) = self.handle(Some(key)) else { return 0.0 };
        let outlook = handle.outlook.borrow();
        outlook.estimates.task_seconds("", model, units)
    }

    /// What the pool's engines have, as far as it counts.
    fn engines_have(&self, key: &PoolKey) -> Option<Known> {
        let handle = self.handle(Some(key))?;
        let engines = handle.keeper.engines.borrow().clone()?;
        let outlook = handle.outlook.borrow();
        let now = Timestamp::now();
        let has_workers = self.index.workers.has_any(key);
        engines.known(has_workers, |made_from| outlook.makes_the_same(made_from), now)
    }

    /// With names and output that are kept once for all jobs.
    fn shared(&self, mut terms: Terms) -> Terms {
        let jobs = &self.index.jobs;
        terms.class = jobs.intern(&terms.class);
        terms.tenant = jobs.intern(&terms.tenant);
        terms.model = terms.model.map(|model| jobs.intern(&model));
        terms.work = terms.work.map(|work| jobs.intern(&work));
        terms.pool_uid = terms.pool_uid.map(|uid| jobs.intern(&uid));
        terms.output = terms.output.map(|output| jobs.intern_output(&output));
        terms
    }

    /// Redis may have lost the pool's jobs: every one that it had is queued again.
    pub(super) fn fill(&mut self, pool: &PoolKey, run: ServerRun) {
        if self.fillings.get(pool).is_some_and(|filling| filling.run == run) {
            return; // at work on it
        }
        let accepted = |uid: &Uid| {
            self.index
                .jobs
                .live(*uid)
                .is_some_and(|record| record.told.terms.is_some() && !record.spec.cancel && !record.deleting)
        };
        let left: Vec<Uid> = self.index.jobs.of_pool(pool).into_iter().filter(accepted).collect();
        if !left.is_empty() {
            let jobs = left.len();
            tracing::warn!(%pool, jobs, "Redis was restarted, failed over or emptied: unfinished jobs are queued again");
            self.metrics.rebuilds.inc();
        }
        let free: Vec<Uid> = left.iter().copied().filter(|uid| !self.steps.contains_key(uid)).collect();
        self.fillings.insert(pool.clone(), Filling { run, left: left.into_iter().collect() });
        if free.len() > ONE_BY_ONE && self.out.loader.order(Question::Jobs(free.iter().copied().collect())) {
            free.into_iter().for_each(|uid| self.begin(uid, Step::Loading));
        } else {
            let records: Vec<JobRecord> =
                free.into_iter().filter_map(|uid| self.index.jobs.live(uid)).collect();
            records.iter().for_each(|record| self.accept(record));
        }
        self.filled_up(pool);
        // Those that were being queued just then, and those whose events were lost.
        self.index.jobs.mark_pool(pool, Why::Turn);
    }

    /// A job is on its queue, or will not come there.
    pub(super) fn filled(&mut self, uid: Uid) {
        let mut full = Vec::new();
        for (pool, filling) in &mut self.fillings {
            if filling.left.remove(&uid) && filling.left.is_empty() {
                full.push(pool.clone());
            }
        }
        full.iter().for_each(|pool| self.filled_up(pool));
    }

    fn filled_up(&mut self, pool: &PoolKey) {
        if !self.fillings.get(pool).is_some_and(|filling| filling.left.is_empty()) {
            return;
        }
        let Some(filling) = self.fillings.remove(pool) else { return };
        if let Some(handle) = self.handle(Some(pool)) {
            // One that does not fit is asked for again: the keeper still sees another run of Redis.
            let _ = handle.keeper.orders.try_send(Order::Filled(filling.run));
        }
    }
}

fn is_loading(step: &Step) -> bool {
    matches!(step, Step::Loading)
}

fn place(record: &JobRecord) -> Place {
    Place { uid: record.uid, namespace: Arc::clone(&record.namespace), name: record.name.clone() }
}

/// Whether the API server has to be asked for something that the job names.
fn refers(spec: &ImageJobSpec) -> bool {
    let workflow = spec.work.workflow.as_ref().is_some_and(|workflow| workflow.config_map_ref.is_some());
    let read = |input: &crds::Input| input.from.config_map_key.is_some() || input.from.job.is_some();
    workflow || spec.work.recipe.is_some() || spec.inputs.iter().any(read)
}

/// Whether the labels of the job's namespace decide whether it may use the pool.
fn needs_labels(record: &JobRecord, pool: &WorkerPool) -> bool {
    let by_label = pool.spec.allowed_namespaces.from == NamespacesFrom::Selector;
    let elsewhere = pool.metadata.namespace.as_deref() != Some(&record.namespace);
    by_label && elsewhere && record.told.terms.is_none()
}

fn is_allowed(record: &JobRecord, pool: &WorkerPool, loaded: &Loaded) -> bool {
    if pool.metadata.namespace.as_deref() == Some(&record.namespace) {
        return true;
    }
    let allowed = &pool.spec.allowed_namespaces;
    match (allowed.from, &allowed.selector, &loaded.labels) {
        (NamespacesFrom::All, _, _) => true,
        (NamespacesFrom::Selector, Some(selector), Some(labels)) => {
            let selector: Result<kube::core::Selector, _> = selector.clone().try_into();
            selector.is_ok_and(|selector| selector.matches(labels))
        }
        (NamespacesFrom::Same | NamespacesFrom::Selector, _, _) => false,
    }
}
