//! Jobs on their way to the queue. The planner counts them before Redis has answered, so that a burst of jobs becomes
//! workers at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use policy::{Backlog, Time};
use queue::Job;
use tokio::time::Instant;

use crate::{index::Uid, lock};

/// Jobs that were handed to a keeper and that its last snapshot may not show.
#[derive(Default)]
pub(crate) struct Intake(Mutex<HashMap<Uid, Coming>>);

/// What the planner has to know of such a job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Coming {
    tenant: Arc<str>,
    max_running: Option<u32>,
    backlog: Backlog,
    /// When Redis had taken it; a snapshot read since then shows it.
    queued: Option<Instant>,
}

impl Coming {
    /// `None`: nobody may work on it.
    pub(crate) fn of(job: &Job) -> Option<Self> {
        let sla_ms = u64::try_from(job.sla.as_millis()).unwrap_or(u64::MAX);
        let tasks = job.max_running.map_or(job.total, |limit| job.total.min(limit));
        let backlog = Backlog {
            class: job.class.clone(),
            model: job.model.clone(),
            work: job.work.clone(),
            due: Time::from_millis(job.arrival_ms.saturating_add(sla_ms)),
            tasks: tasks.into(),
            units: job.units * f64::from(tasks),
        };
        let coming =
            Self { tenant: job.tenant.as_str().into(), max_running: job.max_running, backlog, queued: None };
        (!job.suspended).then_some(coming)
    }
}

impl Intake {
    pub(crate) fn add(&self, uid: Uid, coming: Coming) {
        lock(&self.0).insert(uid, coming);
    }

    /// Redis has taken it.
    pub(super) fn queued(&self, uid: Uid, at: Instant) {
        if let Some(coming) = lock(&self.0).get_mut(&uid) {
            coming.queued = Some(at);
        }
    }

    /// It will not come.
    pub(super) fn remove(&self, uid: Uid) {
        lock(&self.0).remove(&uid);
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    /// What a snapshot whose reading began then does not show. A tenant's limit holds for all its jobs together.
    pub(crate) fn beyond(&self, read_at: Instant) -> Vec<Backlog> {
        let mut coming = lock(&self.0);
        coming.retain(|_, coming| coming.queued.is_none_or(|queued| queued >= read_at));
        let mut room: HashMap<Arc<str>, u64> = HashMap::new();
        let mut beyond = Vec::with_capacity(coming.len());
        for coming in coming.values() {
            let Some(limit) = coming.max_running else {
                beyond.push(coming.backlog.clone());
                continue;
            };
            let room = room.entry(Arc::clone(&coming.tenant)).or_insert(limit.into());
            let tasks = coming.backlog.tasks.min(*room);
            *room -= tasks;
            if tasks > 0 {
                #[allow(clippy::cast_precision_loss)] // tasks are far below 2^53
                let part = tasks as f64 / coming.backlog.tasks as f64;
                let units = coming.backlog.units * part;
                beyond.push(Backlog { tasks, units, ..coming.backlog.clone() });
            }
        }
        beyond
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn coming(tenant: &str, tasks: u64, max_running: Option<u32>) -> Coming {
        let backlog = Backlog {
            class: "standard".into(),
            model: "m".into(),
            work: String::new(),
            due: Time::from_millis(1),
            tasks,
            units: 2.0,
        };
        Coming { tenant: tenant.into(), max_running, backlog, queued: None }
    }

    fn uid(n: u8) -> Uid {
        format!("aaaaaaaa-0000-4000-8000-0000000000{n:02x}").parse().unwrap()
    }

    #[test]
    fn a_job_is_counted_until_a_snapshot_shows_it_and_not_twice() {
        let (intake, now) = (Intake::default(), Instant::now());
        let later = |ms| now + Duration::from_millis(ms);
        intake.add(uid(1), coming("a", 4, None));
        assert_eq!(intake.beyond(later(0)).len(), 1);
        intake.queued(uid(1), later(5));
        assert_eq!(intake.beyond(later(3)).len(), 1, "read before it was queued");
        assert_eq!(intake.beyond(later(6)).len(), 0);
        assert!(intake.is_empty());
    }

    #[test]
    fn a_tenants_limit_holds_for_all_its_jobs() {
        let intake = Intake::default();
        intake.add(uid(1), coming("a", 4, Some(6)));
        intake.add(uid(2), coming("a", 4, Some(6)));
        intake.add(uid(3), coming("b", 4, None));
        let tasks: u64 = intake.beyond(Instant::now()).iter().map(|backlog| backlog.tasks).sum();
        assert_eq!(tasks, 10);
    }
}
