//! What nobody tells: jobs deleted while nobody watched, what a crash between two steps left over, and times to live.
//!
//! Nothing is thrown off a queue because the index does not show it: the API server is asked whether it is gone.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use queue::JobUid;
use tokio::time::Instant;

use super::Jobs;
use crate::{
    executors::{
        jobs::Write,
        loader::{Place, Question},
    },
    index::{PoolKey, Standing, Uid},
    keeper::Order,
};

/// Between two sweeps; what a crash or an error left over lies so long at most.
pub(super) const EVERY: Duration = Duration::from_secs(300);
/// Between two looks at ended jobs by their pools' default time to live.
pub(super) const DEFAULTS_EVERY: Duration = Duration::from_secs(15);
/// An ended job that could not be deleted is tried again after this.
const DELETE_AGAIN: SignedDuration = SignedDuration::from_secs(30);

impl Jobs {
    /// Looks at every unfinished job, however sure we are to be told of it, and at what the queues hold beyond them: one
    /// timer instead of one a job.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.sweep_at = now + EVERY;
        self.index.jobs.mark_live();
        for key in self.out.handles.keys() {
            if let Some(handle) = self.handle(Some(&key)) {
                // What does not fit the next sweep asks for.
                let _ = handle.keeper.orders.try_send(Order::LookThrough);
            }
        }
    }

    /// A queue knows these jobs.
    pub(super) fn known(&mut self, pool: &PoolKey, jobs: &[JobUid]) {
        let mut unknown = HashSet::new();
        for uid in jobs.iter().filter_map(|job| job.0.parse::<Uid>().ok()) {
            match self.index.jobs.standing(uid) {
                Standing::Live => {}
                Standing::Ended => self.take_off_queue(uid, Some(pool)),
                Standing::Unknown => drop(unknown.insert(uid)),
            }
        }
        if !unknown.is_empty() {
            // Asked again by the next sweep, if there is no room now.
            self.out.loader.order(Question::Gone(unknown));
        }
    }

    /// The API server says that these are gone.
    pub(super) fn surely_gone(&mut self, uids: Vec<Uid>) {
        for uid in uids {
            if self.index.jobs.standing(uid) != Standing::Unknown {
                continue;
            }
            tracing::info!(job = %uid, "taking a job off the queue that was deleted");
            for key in self.out.handles.keys() {
                self.take_off_queue(uid, Some(&key));
            }
        }
    }

    /// A list does not show a job that was there.
    pub(super) fn ask_whether_there(&mut self, uid: Uid, namespace: Arc<str>, name: Box<str>) {
        // Asked again with the next list, if there is no room now.
        self.out.loader.order(Question::IsThere(Place { uid, namespace, name }));
    }

    pub(super) fn is_there(&mut self, uid: Uid, there: bool) {
        if there {
            return;
        }
        let pool = self.index.jobs.live(uid).and_then(|record| record.pool().cloned());
        self.index.jobs.forget(uid);
        self.deleted(uid, pool.as_ref());
    }

    /// Deletes ended jobs that have no time to live of their own, by their pools'.
    pub(super) fn expire_by_default(&mut self, now: Timestamp) {
        let pools = self.index.pools.all().into_iter().filter_map(|pool| {
            Some((pool.key.clone(), pool.object.spec.default_ttl_seconds_after_finished?))
        });
        let ttls: HashMap<PoolKey, u32> = pools.collect();
        if ttls.is_empty() {
            return;
        }
        // What could not be deleted is found again the next time.
        for uid in self.index.jobs.expired_by(|pool| ttls.get(pool).copied(), now) {
            self.order_ended(uid, Write::Delete);
        }
    }

    /// Deletes ended jobs whose time to live is over.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let (expired, next) = self.index.jobs.take_expired(now);
        self.expiry_at = next.map(|wait| Instant::now() + wait);
        for uid in expired {
            self.order_ended(uid, Write::Delete);
            // It goes from the index when the watch shows that it went.
            let again = now.saturating_add(DELETE_AGAIN).unwrap_or(now);
            self.index.jobs.expire_at(uid, again);
            self.expiry_at.get_or_insert(Instant::now() + EVERY / 10);
        }
    }
}
