//! Plans one pool, on a beat of its own: soon after something changed, and every second while anything is leased or
//! there.
//!
//! A beat takes these steps:
//!
//! | step | file |
//! |---|---|
//! | hear: how did the last orders go? | `hear.rs` |
//! | observe: workers, machines and queue, put together | `workerpool/observe.rs`, `recent.rs` |
//! | learn: how long machines and starts take | `learn.rs` |
//! | plan: the policy | `policy/src/plan.rs` |
//! | act: orders to Pods and workers | `act.rs` |
//! | tell: status, Events, metrics, cost | `tell.rs` |

use std::{collections::HashSet, sync::Arc, time::Duration};

use crds::PoolDecision;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use policy::{Memory, Plan, Sample, plan};
use queue::WorkerId;
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{Context, JobNews};
use crate::{
    credentials::{PoolUser, QueueAddress},
    executors::{
        events::Events,
        pods::{PodAnswer, PodOrder, Pods},
        pools::{PoolAnswer, PoolOrder, PoolWriter, SecretState},
    },
    index::{Index, PoolKey, PoolRecord},
    keeper::{Access, Keeper, Order, WorkerAnswer},
    metrics::Metrics,
    node,
    workerpool::{
        self,
        ledger::Ledger,
        observe::{Observed, Sights, observe},
        outlook::Outlook,
        pod::Given,
        template::Template,
    },
};

mod act;
mod hear;
mod learn;
mod recent;
mod tell;

use recent::Recent;

/// So long after something changed the next beat begins, and all that changes until then is in it: a burst of jobs is
/// seen as a burst, and changes that don't end don't put it off.
const GATHER: Duration = Duration::from_millis(20);
/// Between two beats, at most, while anything is there.
const BEAT: Duration = Duration::from_secs(1);
/// Between two beats of a pool without work and workers.
const IDLE_BEAT: Duration = Duration::from_secs(15);
/// A Secret that somebody deleted or changed is back after this long.
const SECRET_EVERY: Duration = Duration::from_secs(60);
/// After a Secret or a memory that could not be written or read.
const AGAIN: Duration = Duration::from_secs(5);
/// More buckets and leases than this are planned on a thread of its own.
const MUCH: usize = 2000;

/// Where a fleet hears how its orders went.
pub(super) struct Inbox {
    workers: mpsc::UnboundedReceiver<WorkerAnswer>,
    jobs: mpsc::UnboundedReceiver<JobNews>,
}

impl Inbox {
    pub(super) fn new(
        workers: mpsc::UnboundedReceiver<WorkerAnswer>,
        jobs: mpsc::UnboundedReceiver<JobNews>,
    ) -> Self {
        Self { workers, jobs }
    }
}

/// Plans one pool.
pub(super) struct Fleet {
    key: PoolKey,
    uid: Arc<str>,
    index: Index,
    changed: Arc<Notify>,
    given: Given,
    /// The pool's own way to the queue, and the one of all pools.
    own: Option<Arc<QueueAddress>>,
    shared: Arc<QueueAddress>,
    keeper: Keeper,
    pods: Pods,
    pools: PoolWriter,
    events: Events,
    metrics: Arc<Metrics>,
    inbox: Inbox,
    pod_answers: (mpsc::UnboundedSender<PodAnswer>, mpsc::UnboundedReceiver<PodAnswer>),
    pool_answers: (mpsc::UnboundedSender<PoolAnswer>, mpsc::UnboundedReceiver<PoolAnswer>),
    state: State,
}

/// What is known of a pool besides its object.
#[derive(Default)]
struct State {
    /// What scaling has learned; `None` until it was read.
    memory: Option<Memory>,
    /// What was learned since the last plan.
    samples: Vec<Sample>,
    recalled_at: Option<Instant>,
    remembered: Option<(Instant, Memory)>,
    ledger: Option<Ledger>,
    recent: Recent,
    template: Option<TemplateOf>,
    /// Why workers are evicted, to be told once they are.
    evictions: std::collections::HashMap<WorkerId, String>,
    /// Workers seen at work, whose start-up time was learned; `None` until the queue was first read.
    up: Option<HashSet<WorkerId>>,
    /// Workers seen on a machine, likewise.
    placed: Option<HashSet<WorkerId>>,
    /// Pods that the API server refused since the last plan.
    refused: Vec<policy::Refused>,
    /// Why Pods are refused, until one is not or none is wanted.
    refusal: Option<String>,
    /// What the queue was told of the pool's spec.
    settings: Option<queue::Settings>,
    secret: Option<SecretState>,
    /// How many starts in a row have failed, as it was told.
    failing: workerpool::unhealthy::Failures,
    secret_at: Option<Instant>,
    /// The decision to start workers of which no Pod was created yet.
    starting: Option<PoolDecision>,
    last_decision: Option<PoolDecision>,
    status_at: Option<Instant>,
    status_under_way: bool,
}

/// What workers are made from by a generation of the pool's spec.
struct TemplateOf {
    generation: Option<i64>,
    template: Template,
    /// Why no worker can be made from it.
    invalid: Option<String>,
    /// What of the spec this version does not know.
    unknown: Option<String>,
}

impl Fleet {
    pub(super) fn new(
        context: &Context,
        record: &PoolRecord,
        user: Option<PoolUser>,
        keeper: Keeper,
        inbox: Inbox,
    ) -> Self {
        let key = record.key.clone();
        let own = user.map(|user| user.address);
        let shared = Arc::clone(&context.queue_access.shared);
        let queue = Arc::clone(own.as_ref().unwrap_or(&shared));
        Self {
            uid: Arc::clone(&record.uid),
            index: context.index.clone(),
            changed: context.index.pool_changed(&key),
            given: Given { queue, ..context.given.clone() },
            own,
            shared,
            keeper,
            pods: context.pods.clone(),
            pools: context.pools.clone(),
            events: context.events.clone(),
            metrics: Arc::clone(&context.metrics),
            inbox,
            pod_answers: mpsc::unbounded_channel(),
            pool_answers: mpsc::unbounded_channel(),
            state: State::default(),
            key,
        }
    }

    /// Works until it is stopped, or the pool is another one.
    pub(super) async fn run(mut self, outlook: watch::Sender<Arc<Outlook>>) {
        let mut next = Instant::now();
        loop {
            self.wait(next).await;
            self.hear();
            let Some(pool) = self.index.pools.get(&self.key).filter(|pool| pool.uid == self.uid) else {
                return;
            };
            self.prepare(&pool);
            let wait = self.beat(&pool, &outlook).await;
            next = Instant::now() + wait;
        }
    }

    /// Waits for the next beat, and for what else changes just then.
    async fn wait(&mut self, next: Instant) {
        let mut snapshot = self.keeper.snapshot.clone();
        snapshot.mark_unchanged();
        let woken = tokio::select! {
            () = sleep_until(next) => false,
            () = self.changed.notified() => true,
            Some(answer) = self.inbox.workers.recv() => { self.hear_worker(answer); true }
            Some(news) = self.inbox.jobs.recv() => { self.hear_jobs(news); false }
            Some(answer) = self.pod_answers.1.recv() => { self.hear_pod(answer); true }
            Some(answer) = self.pool_answers.1.recv() => { self.hear_pool(answer); true }
            // What the queue shows every second is looked at with the beat, unless it is news.
            _ = snapshot.changed() => true,
        };
        if woken {
            // What is noted meanwhile wakes the next wait.
            sleep(GATHER).await;
        }
    }

    /// `false`: there is too much to do; the next beat orders it again.
    fn order_pod(&self, order: PodOrder) -> bool {
        self.pods.order((self.key.clone(), order, self.pod_answers.0.clone()))
    }

    /// As [`order_pod`](Self::order_pod).
    fn order_pool(&self, order: PoolOrder) -> bool {
        self.pools.order((self.key.clone(), order, self.pool_answers.0.clone()))
    }

    /// What stands before the first worker: what scaling has learned, and the Secret that workers read.
    fn prepare(&mut self, pool: &PoolRecord) {
        let now = Instant::now();
        let due = |at: Option<Instant>| at.is_none_or(|at| at <= now);
        let knows_access = self.knows_access();
        if self.state.memory.is_none() && due(self.state.recalled_at) {
            let order = PoolOrder::Recall { uid: pool.uid.to_string() };
            if self.order_pool(order) {
                self.state.recalled_at = Some(now + SECRET_EVERY);
            }
        }
        if knows_access
            && due(self.state.secret_at)
            && let Some(owner) = owner(pool)
        {
            let data = workerpool::pod::secret_data(&self.given.queue);
            if self.order_pool(PoolOrder::Secret { owner, data }) {
                self.state.secret_at = Some(now + SECRET_EVERY);
            }
        }
        let settings = workerpool::policy::settings(&pool.object);
        if self.state.settings.as_ref() != Some(&settings)
            && self.keeper.orders.try_send(Order::Configure(settings.clone())).is_ok()
        {
            self.state.settings = Some(settings);
        }
        let now = Timestamp::now();
        self.state.ledger.get_or_insert_with(|| Ledger::of(&pool.object, now));
    }

    /// Tells whether the credentials of the pool's workers are known. Where Redis makes no users, they are those of all pools.
    fn knows_access(&mut self) -> bool {
        let Some(access) = self.keeper.snapshot.borrow().redis.access else { return false };
        let address = match (access, &self.own) {
            (Access::Own, Some(own)) => own,
            (Access::Own, None) | (Access::Shared, _) => &self.shared,
        };
        if !Arc::ptr_eq(address, &self.given.queue) {
            self.given.queue = Arc::clone(address);
            self.state.template = None;
            self.state.secret_at = None;
        }
        true
    }

    /// One beat; when the next one is due.
    async fn beat(&mut self, pool: &PoolRecord, outlook: &watch::Sender<Arc<Outlook>>) -> Duration {
        let Some(mut memory) = self.state.memory.take() else { return AGAIN };
        for sample in self.state.samples.drain(..) {
            memory.estimates.observe(&sample);
        }
        let now = Timestamp::now();
        let template = self.template(pool);
        let observed = self.observe(pool, &template, now);
        self.learn_placements(&observed);
        self.learn_start_up(&observed, now);
        let mut plan = self.plan(pool, &observed, &template, memory.clone(), now).await;
        if let Some(stats) = &observed.stats {
            let why = plan.report.state.to_string();
            let estimates = plan.memory.estimates.clone();
            let new = Outlook::new(plan.forecast.clone(), stats, estimates, why, node::time(now))
                .made_from(template.clone());
            outlook.send_replace(Arc::new(new));
        }
        self.state.memory = Some(plan.memory.clone());
        self.settle_refusal(&plan);
        if pool.is_going() {
            // Its workers go with it; what they hold is taken back as it ends.
            plan.actions.retain(|decision| matches!(decision.action, policy::Action::Evict { .. }));
        } else {
            plan.actions = self.act(pool, &observed, &template, std::mem::take(&mut plan.actions), now);
            self.protect(&observed, now);
        }
        self.remove_pods(&observed);
        self.tell(pool, &observed, &plan, &memory, now);
        let active = observed.stats.as_ref().is_none_or(|stats| !stats.leases.is_empty())
            || !observed.seen.workers.is_empty();
        plan.wake_after.min(if active { BEAT } else { IDLE_BEAT }).max(GATHER)
    }

    /// Worked out once for each generation of the pool's spec.
    fn template(&mut self, pool: &PoolRecord) -> Template {
        let generation = pool.object.metadata.generation;
        match &self.state.template {
            Some(known) if known.generation == generation => known.template.clone(),
            _ => {
                let template = Template::of(&pool.object, &self.given);
                let invalid = workerpool::pod::check(&pool.object).err().map(|error| error.to_string());
                if let Some(message) = &invalid {
                    tracing::warn!(pool = %self.key, "no worker can be made: {message}");
                }
                let unknown = pool.object.spec.unknown();
                self.state.template =
                    Some(TemplateOf { generation, template: template.clone(), invalid, unknown });
                template
            }
        }
    }

    fn observe(&mut self, pool: &PoolRecord, template: &Template, now: Timestamp) -> Observed {
        let snapshot = Arc::clone(&self.keeper.snapshot.borrow());
        let shown = self.index.workers.of_pool(&self.key, now);
        // One of an earlier pool of this name goes with that pool.
        let ours =
            shown.into_iter().filter(|worker| worker.owner.as_deref().is_none_or(|uid| uid == &*pool.uid));
        let workers = &self.index.workers;
        let workers = self.state.recent.with_created(ours.collect(), |name| workers.was_deleted(name));
        let holds = |id: &WorkerId| {
            let mut leases = snapshot.stats.iter().flat_map(|stats| &stats.leases);
            leases.any(|lease| lease.worker == *id)
        };
        let is_here = |id: &WorkerId| workers.iter().any(|worker| worker.name == id.0) || holds(id);
        self.state.recent.settle(snapshot.read_at, is_here);
        // Each is told once, and while the queue can't be read nothing is learned.
        let refused = snapshot.stats.as_ref().map(|_| std::mem::take(&mut self.state.refused));
        let recent = &self.state.recent;
        observe(Sights {
            pool: &pool.object,
            stats: snapshot.stats.clone(),
            readable_for: snapshot.readable_for(),
            coming: self.keeper.intake.beyond(snapshot.read_at),
            refused: refused.unwrap_or_default(),
            told: &|worker| recent.order_of(&WorkerId(worker.to_owned())),
            workers,
            template,
            now,
        })
    }

    /// What takes long is worked out on a thread of its own, so that nobody else waits for it.
    async fn plan(
        &self,
        pool: &PoolRecord,
        observed: &Observed,
        template: &Template,
        memory: Memory,
        now: Timestamp,
    ) -> Plan {
        let timer = self.metrics.plan_seconds.start_timer();
        let now = node::time(now);
        let template = template.name();
        let policy = policy::Policy { template, ..workerpool::policy::policy(&pool.object) };
        let size = observed.seen.queue.as_ref().map_or(0, |queue| queue.backlog.len() + queue.running.len());
        let planned = if size + observed.seen.workers.len() < MUCH {
            plan(now, &policy, &observed.seen, &memory)
        } else {
            let seen = observed.seen.clone();
            let (there, here) = (policy.clone(), memory.clone());
            match tokio::task::spawn_blocking(move || plan(now, &there, &seen, &here)).await {
                Ok(plan) => plan,
                // The process is ending, or it failed there and fails here, too.
                Err(_) => plan(now, &policy, &observed.seen, &memory),
            }
        };
        timer.observe_duration();
        planned
    }
}

fn owner(pool: &PoolRecord) -> Option<OwnerReference> {
    pool.object.controller_owner_ref(&())
}

#[cfg(test)]
mod tests;
