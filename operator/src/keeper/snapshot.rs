//! A pool's queue at one moment, in our own time.

use std::time::Duration;

use jiff::Timestamp;
use policy::{Clock, Time};
use queue::Stats;
use tokio::time::Instant;

use super::RedisSeen;
use crate::node;

/// How a pool's queue stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Snapshot {
    /// `None`: it could not be read, or shows only a part of what there is. An unreadable queue is not an empty one.
    pub(crate) stats: Option<Stats>,
    /// Why it could not be read.
    pub(crate) error: Option<String>,
    /// When reading it began: what was done before that is in it.
    pub(crate) read_at: Instant,
    /// Since when it could be read without a gap.
    readable_since: Option<Instant>,
    pub(crate) redis: RedisSeen,
}

impl Snapshot {
    /// Nothing was read yet.
    pub(super) fn unread() -> Self {
        Self {
            stats: None,
            error: None,
            read_at: Instant::now(),
            readable_since: None,
            redis: RedisSeen::default(),
        }
    }

    pub(crate) fn read(before: &Self, begun: Instant, stats: Stats, now: Timestamp) -> Self {
        let stats = Some(in_our_time(stats, now));
        Self { stats, ..Self::filling(before, begun) }
    }

    /// The queue can be read, but is being filled again.
    pub(super) fn filling(before: &Self, begun: Instant) -> Self {
        let readable_since = before.readable_since.or(Some(begun));
        Self { read_at: begun, readable_since, ..Self::unread() }
    }

    pub(super) fn failed(begun: Instant, error: &queue::Error) -> Self {
        Self { error: Some(error.to_string()), read_at: begun, ..Self::unread() }
    }

    /// For how long it could be read without a gap.
    pub(crate) fn readable_for(&self) -> Duration {
        self.readable_since.map_or(Duration::ZERO, |since| self.read_at.saturating_duration_since(since))
    }

    /// Nobody works and nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.stats.as_ref().is_some_and(|stats| {
            stats.leases.is_empty() && stats.workers.is_empty() && stats.backlog.is_empty()
        })
    }
}

/// Redis' clock may be another than ours. Times that Redis wrote are moved by the difference; when something is due was
/// written by us.
fn in_our_time(mut stats: Stats, now: Timestamp) -> Stats {
    let now = node::time(now);
    let clock = Clock::new(Time::from_millis(stats.now_ms), now);
    let ours = |ms: u64| clock.to_local(Time::from_millis(ms)).as_millis();
    for worker in &mut stats.workers {
        worker.seen_ms = ours(worker.seen_ms);
        worker.idle_since_ms = worker.idle_since_ms.map(ours);
    }
    for lease in &mut stats.leases {
        lease.started_ms = ours(lease.started_ms);
        lease.expires_ms = ours(lease.expires_ms);
    }
    stats.now_ms = now.as_millis();
    stats
}

#[cfg(test)]
mod tests {
    use queue::{Order, WorkerId, WorkerSeen, WorkerState};

    use super::*;
    use crate::fixtures::at;

    #[test]
    fn a_redis_whose_clock_is_wrong_makes_nobody_idle_for_longer() {
        let ms = |seconds: i64| u64::try_from(at(seconds).as_millisecond()).unwrap();
        for behind in [60, -60] {
            let redis = |seconds: i64| ms(seconds - behind);
            let worker = WorkerSeen {
                worker: WorkerId("w".into()),
                order: Order::Work,
                state: WorkerState::Ready,
                capacity: "spot".into(),
                trouble: None,
                loaded: None,
                notice: None,
                seen_ms: redis(998),
                idle_since_ms: Some(redis(990)),
            };
            let stats = Stats { now_ms: redis(1000), workers: vec![worker], ..Stats::default() };
            let stats = in_our_time(stats, at(1000));
            let worker = &stats.workers[0];
            assert_eq!((worker.seen_ms, worker.idle_since_ms), (ms(998), Some(ms(990))), "{behind} s behind");
            assert_eq!(stats.now_ms, ms(1000));
        }
    }
}
