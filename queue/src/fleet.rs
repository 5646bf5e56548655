//! Workers: ordered, retired, evicted; and the reaper, who finds what they left behind.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use redis::Cmd;

use crate::{
    Error, Order, Queue, REAP_EVERY, ReapReport, Result, Retired, WorkerId, WorkerState,
    spec::{millis, ms},
};

/// So many rounds of at most 500 leases end one [`Queue::reap`]; the next second brings the next.
const REAP_ROUNDS: usize = 20;
/// A reaper that could not look for longer than this can't tell which leases ended meanwhile for want of a heartbeat that
/// did not get through either.
const BLIND: Duration = Duration::from_secs(5);

impl Order {
    fn encode(self) -> (&'static str, u64) {
        match self {
            Self::Work => ("work", 0),
            Self::Hold => ("hold", 0),
            Self::Retire => ("retire", 0),
            Self::Doomed { left } => ("doomed", millis(left)),
        }
    }

    /// For an evicted worker the order is to go.
    pub(crate) fn decode(word: &str, left_ms: u64) -> Result<Self> {
        match word {
            "work" => Ok(Self::Work),
            "hold" => Ok(Self::Hold),
            "retire" | "evicted" => Ok(Self::Retire),
            "doomed" => Ok(Self::Doomed { left: Duration::from_millis(left_ms) }),
            other => Err(Error::malformed("order", other)),
        }
    }
}

impl WorkerState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
        }
    }

    pub(crate) fn parse(word: &str) -> Self {
        if word == Self::Starting.as_str() { Self::Starting } else { Self::Ready }
    }
}

/// What a reaper remembers of Redis' clock, to tell a jump of it from time that went by.
#[derive(Debug, Default)]
pub(crate) struct ReaperClock(Mutex<Seen>);

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    /// Redis' clock at our last look, ms, and ours.
    last: Option<(u64, Instant)>,
    /// Leases end by themselves no earlier than this, so that every worker can renew its own first.
    spare_until: Option<Instant>,
}

impl ReaperClock {
    /// What Redis' clock should say now, ms (0: not known), and whether leases are to be spared.
    fn expect(&self, now: Instant, lease: Duration) -> (u64, bool) {
        let mut seen = self.lock();
        let passed = seen.last.map(|(redis_ms, at)| (redis_ms, now.saturating_duration_since(at)));
        if passed.is_some_and(|(_, passed)| passed > BLIND.max(REAP_EVERY)) {
            seen.spare_until = Some(now + lease);
        }
        let expected = passed.map_or(0, |(redis_ms, passed)| redis_ms + millis(passed));
        (expected, seen.spare_until.is_some_and(|until| now < until))
    }

    fn saw(&self, redis_ms: u64, jumped: bool, now: Instant, lease: Duration) {
        let mut seen = self.lock();
        seen.last = Some((redis_ms, now));
        if jumped {
            seen.spare_until = Some(now + lease);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Tells a worker what to do: it hears the bell, or reads it at its next heartbeat. Claims follow it at
    /// once. An evicted worker stays evicted.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn order(&self, worker: &WorkerId, order: Order) -> Result<()> {
        let (word, left_ms) = order.encode();
        let fill = |call: &mut Cmd| {
            call.arg(&worker.0).arg(word).arg(left_ms);
        };
        self.run_fenced(|s| &s.order, fill).await
    }

    /// Retires a worker if it holds no lease.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn try_retire(&self, worker: &WorkerId) -> Result<Retired> {
        let fill = |call: &mut Cmd| {
            call.arg(&worker.0);
        };
        let retired: bool = self.run_fenced(|s| &s.retire, fill).await?;
        Ok(if retired { Retired::Yes } else { Retired::Busy })
    }

    /// Takes all a worker holds back to the front, at once. It will never claim again under this name, and
    /// its late writes are stale. Returns how many tasks it held.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn evict(&self, worker: &WorkerId) -> Result<u32> {
        let mut held = 0;
        loop {
            let fill = |call: &mut Cmd| {
                call.arg(&worker.0);
            };
            let (some, more): (u32, bool) = self.run_fenced(|s| &s.evict, fill).await?;
            held += some;
            if !more {
                return Ok(held);
            }
        }
    }

    /// Finds leases that have ended or are missing, and tasks whose delay is over. To be called
    /// [every second](crate::REAP_EVERY), by any number of reapers; calling it more often changes nothing.
    ///
    /// A jump of Redis' clock ends no lease: for as long as one lasts, leases end only if they are given up.
    ///
    /// # Errors
    /// When Redis can't be reached, or this handle's term is over; to repeat is safe.
    pub async fn reap(&self) -> Result<ReapReport> {
        let mut report = ReapReport::default();
        let (lease, clock) = (self.lease(), &self.shared.clock);
        for _ in 0..REAP_ROUNDS {
            let (expected, spare) = clock.expect(Instant::now(), lease);
            let fill = |call: &mut Cmd| {
                call.arg(millis(lease)).arg(ms(expected)).arg(u8::from(spare));
            };
            let (now, jumped, expired, missing, ready, malformed, more): Reaped =
                self.run_fenced(|s| &s.reap, fill).await?;
            clock.saw(now, jumped, Instant::now(), lease);
            report.expired += expired;
            report.missing += missing;
            report.ready += ready;
            report.malformed += malformed;
            if !more {
                break;
            }
        }
        Ok(report)
    }
}

/// As the script returns it.
type Reaped = (u64, bool, u32, u32, u32, u32, bool);

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{BLIND, ReaperClock};

    const LEASE: Duration = Duration::from_secs(10);

    #[test]
    fn a_reaper_knows_what_time_it_should_be_and_spares_leases_after_a_jump() {
        let (clock, begun) = (ReaperClock::default(), Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(clock.expect(begun, LEASE), (0, false), "at first it knows nothing");
        clock.saw(1_000_000, false, begun, LEASE);
        assert_eq!(clock.expect(after(1), LEASE), (1_001_000, false));
        clock.saw(1_021_000, true, after(1), LEASE);
        assert_eq!(clock.expect(after(2), LEASE), (1_022_000, true));
        clock.saw(1_022_000, false, after(2), LEASE);
        assert!(clock.expect(after(4), LEASE).1);
        clock.saw(1_024_000, false, after(10), LEASE);
        assert!(!clock.expect(after(11), LEASE).1, "a lease later it is as ever");
    }

    #[test]
    fn a_reaper_that_could_not_look_spares_leases() {
        let (clock, begun) = (ReaperClock::default(), Instant::now());
        clock.saw(1_000_000, false, begun, LEASE);
        let back = begun + BLIND + Duration::from_secs(1);
        assert_eq!(clock.expect(back, LEASE), (1_006_000, true));
        clock.saw(1_006_000, false, back, LEASE);
        assert!(clock.expect(back + Duration::from_secs(4), LEASE).1);
    }
}
