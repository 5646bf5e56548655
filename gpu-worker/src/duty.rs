use queue::Order;
use tokio::{sync::watch, time::Instant};

/// What this worker is to do, by the operator's orders and the machine's signals.
#[derive(Debug, Clone)]
pub(crate) struct Duty(watch::Sender<Now>);

/// The state of duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Now {
    /// Claim and generate.
    Work,
    /// Claim nothing for now.
    Hold,
    /// Claim nothing more, exit when idle.
    Retire,
    /// Claim nothing more, be gone by then.
    Leave {
        /// When the machine stops.
        by: Instant,
    },
}

impl Duty {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Now::Work))
    }

    pub(crate) fn now(&self) -> Now {
        *self.0.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Now> {
        self.0.subscribe()
    }

    /// An order, as it came at this time.
    pub(crate) fn ordered(&self, order: Order, now: Instant) {
        match order {
            Order::Work => self.unless_leaving(Now::Work),
            Order::Hold => self.unless_leaving(Now::Hold),
            Order::Retire => self.unless_leaving(Now::Retire),
            Order::Doomed { left } => self.leave(now + left, "the machine goes away"),
        }
    }

    /// From leaving there is no way back; an earlier deadline counts.
    pub(crate) fn leave(&self, by: Instant, why: &str) {
        self.0.send_if_modified(|now| {
            if matches!(now, Now::Leave { by: known } if *known <= by) {
                return false;
            }
            tracing::info!(
                why,
                seconds_left = by.saturating_duration_since(Instant::now()).as_secs(),
                "leaving"
            );
            *now = Now::Leave { by };
            true
        });
    }

    fn unless_leaving(&self, next: Now) {
        self.0.send_if_modified(|now| {
            if matches!(now, Now::Leave { .. }) || *now == next {
                return false;
            }
            tracing::info!(order = ?next, "ordered");
            *now = next;
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use queue::Order;
    use tokio::time::Instant;

    use super::{Duty, Now};

    #[test]
    fn the_latest_order_counts_until_one_says_leave() {
        let (duty, now) = (Duty::new(), Instant::now());
        duty.ordered(Order::Hold, now);
        assert_eq!(duty.now(), Now::Hold);
        duty.ordered(Order::Work, now);
        assert_eq!(duty.now(), Now::Work);
        duty.ordered(Order::Doomed { left: Duration::from_secs(4) }, now);
        let by = now + Duration::from_secs(4);
        assert_eq!(duty.now(), Now::Leave { by });
        duty.ordered(Order::Work, now);
        assert_eq!(duty.now(), Now::Leave { by });
    }

    #[test]
    fn the_earlier_deadline_counts() {
        let (duty, now) = (Duty::new(), Instant::now());
        duty.leave(now + Duration::from_secs(20), "test");
        duty.leave(now + Duration::from_secs(30), "test");
        assert_eq!(duty.now(), Now::Leave { by: now + Duration::from_secs(20) });
        duty.ordered(Order::Doomed { left: Duration::ZERO }, now);
        assert_eq!(duty.now(), Now::Leave { by: now });
    }
}
