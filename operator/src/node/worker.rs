//! What the worker itself read in its machine's metadata service, and what it was told before.

use std::time::Duration;

use jiff::Timestamp;
use policy::Health;
use queue::{Notice, Order, WorkerSeen};

use super::{Sign, worst};

/// The worst that a worker's own words say.
pub(crate) fn told(worker: &WorkerSeen, now: Timestamp) -> Option<Sign> {
    let doomed = |left: Duration, cause| {
        let deadline = crate::node::time(now).plus(left);
        Some(Sign { health: Health::Doomed { deadline }, cause })
    };
    let noticed = match worker.notice {
        Some(Notice::AtRisk) => Sign::at_risk("metadata service: the machine may be taken away"),
        Some(Notice::Doomed { left }) => doomed(left, "metadata service: the machine is taken away"),
        None => None,
    };
    // There is no way back: it drains since it was told, whether the sign is still there or not.
    let told = match worker.order {
        Order::Doomed { left } => doomed(left, "told before"),
        Order::Work | Order::Hold | Order::Retire => None,
    };
    worst([noticed, told])
}

#[cfg(test)]
mod tests {
    use policy::Time;
    use queue::{WorkerId, WorkerSeen, WorkerState};

    use super::*;
    use crate::node::fixtures::{NOW, at};

    #[test]
    fn signs_and_what_they_mean() {
        let left = Duration::from_secs;
        let now: Time = crate::node::time(at(NOW));
        let doomed = |seconds| Some(Health::Doomed { deadline: now.plus(left(seconds)) });
        let table = [
            (None, Order::Work, None),
            (None, Order::Hold, None),
            (Some(Notice::AtRisk), Order::Hold, Some(Health::AtRisk)),
            (Some(Notice::Doomed { left: left(500) }), Order::Work, doomed(500)),
            (Some(Notice::Doomed { left: left(500) }), Order::Doomed { left: left(400) }, doomed(400)),
            (None, Order::Doomed { left: left(400) }, doomed(400)),
        ];
        for (notice, order, want) in table {
            let worker = WorkerSeen {
                worker: WorkerId("w".into()),
                order,
                state: WorkerState::Ready,
                capacity: "spot".into(),
                trouble: None,
                loaded: None,
                notice,
                seen_ms: 1,
                idle_since_ms: None,
            };
            assert_eq!(told(&worker, at(NOW)).map(|sign| sign.health), want, "{notice:?} {order:?}");
        }
    }
}
