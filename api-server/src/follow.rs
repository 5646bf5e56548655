//! Follows one job: its states as the watch shows them, and how far its images are as the queue tells.

use std::{sync::Arc, time::Duration};

use queue::{JobUid, TaskProgress};
use tokio::{sync::watch, time::timeout};

use crate::{
    app::App,
    cache::{Job, PoolKey, Seen, State},
    progress::InHand,
};

/// A job at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) job: Arc<Job>,
    /// The images that workers make now, by index.
    pub(crate) in_hand: Vec<TaskProgress>,
}

impl Snapshot {
    /// A job now, with what is known already of its images. Who asks again soon is told more: the queue is asked from now on.
    pub(crate) fn of(app: &App, job: Arc<Job>) -> Self {
        let in_hand = match asked_pool(&job).filter(|_| job.state() != State::Queued) {
            Some(pool) => app.progress.of_pool(&pool).borrow().get(&JobUid(job.uid.clone())).cloned(),
            None => None,
        };
        Self { job, in_hand: in_hand.unwrap_or_default() }
    }

    /// How much of the job is made, 0 to 1. What one image of several is begun with counts by its nodes and steps.
    pub(crate) fn done(&self) -> f64 {
        let counts = self.job.status.counts.unwrap_or_default();
        let whole = f64::from(counts.succeeded);
        let begun: f64 = self.in_hand.iter().map(image_done).sum();
        ((whole + begun) / f64::from(self.job.count.max(1))).clamp(0.0, 1.0)
    }
}

/// How much of an image is made, 0 to 1: of its nodes those that have run, and of the one that runs its steps.
pub(crate) fn image_done(image: &TaskProgress) -> f64 {
    let steps = image.steps.map_or(0.0, |(done, all)| f64::from(done) / f64::from(all.max(1)));
    match &image.nodes {
        // A sampler that has done all its steps has run.
        Some(nodes) => ((f64::from(nodes.done) + steps.min(0.99)) / f64::from(nodes.total.max(1))).min(1.0),
        None => steps,
    }
}

/// The job at its end, or as it is when the time is over; `None`: it was deleted meanwhile.
pub(crate) async fn until_final(app: &App, job: &Arc<Job>, at_most: Duration) -> Option<Arc<Job>> {
    let mut follower = Follower::states_only(app, Arc::clone(job));
    match timeout(at_most, follower.until_final()).await {
        Ok(ended) => ended,
        Err(_) => Some(follower.now().job),
    }
}

/// The pool that is asked about a job: one that has a pool and no end.
fn asked_pool(job: &Job) -> Option<PoolKey> {
    let pool = job.status.pool.as_ref().filter(|_| !job.state().is_final())?;
    Some(PoolKey::new(&pool.namespace, &pool.name))
}

/// Somebody who follows a job.
pub(crate) struct Follower {
    app: App,
    seen: watch::Receiver<Seen>,
    asks: bool,
    /// The pool it is in, and what that pool's workers have in hand.
    pool: Option<(PoolKey, watch::Receiver<InHand>)>,
    last: Arc<Job>,
}

impl Follower {
    pub(crate) fn new(app: &App, job: Arc<Job>) -> Self {
        let seen = app.cache.jobs.follow(&job.key());
        Self { app: app.clone(), seen, asks: true, pool: None, last: job }
    }

    /// One that does not ask how far images are.
    pub(crate) fn states_only(app: &App, job: Arc<Job>) -> Self {
        Self { asks: false, ..Self::new(app, job) }
    }

    /// The job as it is now.
    pub(crate) fn now(&mut self) -> Snapshot {
        if let Seen::Is(job) = &*self.seen.borrow_and_update()
            && job.uid == self.last.uid
        {
            self.last = Arc::clone(job);
        }
        self.ask_its_pool();
        let uid = JobUid(self.last.uid.clone());
        let in_hand = self.pool.as_mut().and_then(|(_, told)| told.borrow_and_update().get(&uid).cloned());
        Snapshot { job: Arc::clone(&self.last), in_hand: in_hand.unwrap_or_default() }
    }

    /// Waits until there may be something new; `false`: the job is deleted.
    pub(crate) async fn changed(&mut self) -> bool {
        let Self { seen, pool, .. } = self;
        let told = async {
            match pool {
                // Who asks never ends before its receivers.
                Some((_, told)) => drop(told.changed().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = seen.changed() => changed.is_ok() && !matches!(*seen.borrow(), Seen::Gone),
            () = told => true,
        }
    }

    /// The job at its end; `None`: it was deleted before.
    pub(crate) async fn until_final(&mut self) -> Option<Arc<Job>> {
        loop {
            let Snapshot { job, .. } = self.now();
            if job.state().is_final() {
                return Some(job);
            }
            if !self.changed().await {
                return None;
            }
        }
    }

    fn ask_its_pool(&mut self) {
        match (asked_pool(&self.last).filter(|_| self.asks), &self.pool) {
            (Some(pool), Some((asked, _))) if pool == *asked => {}
            (Some(pool), _) => {
                let told = self.app.progress.of_pool(&pool);
                self.pool = Some((pool, told));
            }
            (None, _) => self.pool = None,
        }
    }
}
