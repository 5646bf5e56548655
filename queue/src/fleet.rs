//! Workers: ordered, retired, evicted; and the reaper, who finds what they left behind.

use std::time::Duration;

use redis::Cmd;

use crate::{Error, Order, Queue, ReapReport, Result, Retired, WorkerId, WorkerState, spec::millis};

/// So many rounds of at most 500 leases end one [`Queue::reap`]; the next second brings the next.
const REAP_ROUNDS: usize = 20;

impl Order {
    pub(crate) fn encode(self) -> (&'static str, u64) {
        match self {
            Self::Work => ("W", 0),
            Self::Hold => ("H", 0),
            Self::Retire => ("R", 0),
            Self::Doomed { left } => ("D", millis(left)),
        }
    }

    /// `E` is for evicted: for the worker that is the order to go.
    pub(crate) fn decode(letter: &str, left_ms: u64) -> Result<Self> {
        match letter {
            "W" => Ok(Self::Work),
            "H" => Ok(Self::Hold),
            "R" | "E" => Ok(Self::Retire),
            "D" => Ok(Self::Doomed { left: Duration::from_millis(left_ms) }),
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

impl Queue {
    /// Tells a worker what to do: it hears the bell, or reads it at its next heartbeat. Claims follow it at
    /// once. An evicted worker stays evicted.
    ///
    /// # Errors
    /// When Redis can't be reached; to repeat is safe.
    pub async fn order(&self, worker: &WorkerId, order: Order) -> Result<()> {
        let (letter, left_ms) = order.encode();
        let fill = |call: &mut Cmd| {
            call.arg(&worker.0).arg(letter).arg(left_ms);
        };
        self.run(|s| &s.order, fill).await
    }

    /// Retires a worker if it holds no lease.
    ///
    /// # Errors
    /// When Redis can't be reached; to repeat is safe.
    pub async fn try_retire(&self, worker: &WorkerId) -> Result<Retired> {
        let fill = |call: &mut Cmd| {
            call.arg(&worker.0);
        };
        let retired: bool = self.run(|s| &s.retire, fill).await?;
        Ok(if retired { Retired::Yes } else { Retired::Busy })
    }

    /// Takes all a worker holds back to the front, at once. It will never claim again under this name, and
    /// its late writes are stale. Returns how many tasks it held.
    ///
    /// # Errors
    /// When Redis can't be reached; to repeat is safe.
    pub async fn evict(&self, worker: &WorkerId) -> Result<u32> {
        let fill = |call: &mut Cmd| {
            call.arg(&worker.0);
        };
        self.run(|s| &s.evict, fill).await
    }

    /// Finds leases that have ended or are missing, failed tasks whose delay is over, and jobs that have
    /// waited for their longest time. To be called [every second](crate::REAP_EVERY), by any number of
    /// reapers.
    ///
    /// # Errors
    /// When Redis can't be reached; to repeat is safe.
    pub async fn reap(&self) -> Result<ReapReport> {
        let mut report = ReapReport::default();
        for _ in 0..REAP_ROUNDS {
            let (expired, missing, ready, overdue, more): (u32, u32, u32, u32, bool) =
                self.run(|s| &s.reap, |_| {}).await?;
            report.expired += expired;
            report.missing += missing;
            report.ready += ready;
            report.overdue += overdue;
            if !more {
                break;
            }
        }
        Ok(report)
    }
}
