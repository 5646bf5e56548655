//! A pool whose Pods are refused (by a quota, by admission, for a bad template) tries again ever more rarely.

use std::time::{Duration, Instant};

use crds::conditions::PoolReason;

/// From the first refusal to the next try; it doubles with each refusal in a row.
const FIRST_REST: Duration = Duration::from_secs(2);
/// A quota that was raised is noticed within this time.
const LONGEST_REST: Duration = Duration::from_secs(64);

/// Why there is no Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: PoolReason,
    pub(crate) message: String,
}

/// Refusals in a row, without a Pod in between.
#[derive(Debug)]
pub(crate) struct Refusals {
    pub(crate) last: Refusal,
    times: u32,
    at: Instant,
    /// Of the pool's spec; another one may fare better.
    generation: Option<i64>,
}

impl Refusals {
    /// One more after `before`.
    pub(crate) fn after(before: Option<Self>, last: Refusal, generation: Option<i64>, at: Instant) -> Self {
        let in_a_row = before.filter(|before| before.generation == generation);
        Self { last, times: in_a_row.map_or(1, |before| before.times.saturating_add(1)), at, generation }
    }

    /// How long to leave it before the next try.
    pub(crate) fn rest(&self, generation: Option<i64>, now: Instant) -> Duration {
        if generation != self.generation {
            return Duration::ZERO;
        }
        let rest = FIRST_REST.saturating_mul(2u32.saturating_pow(self.times - 1)).min(LONGEST_REST);
        rest.saturating_sub(now.saturating_duration_since(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal() -> Refusal {
        Refusal { reason: PoolReason::PodsRefused, message: "exceeded quota".into() }
    }

    #[test]
    fn each_refusal_in_a_row_makes_the_next_try_rarer() {
        let now = Instant::now();
        let mut refusals = None;
        let mut rests = Vec::new();
        for _ in 0..40 {
            let next = Refusals::after(refusals.take(), refusal(), Some(1), now);
            rests.push(next.rest(Some(1), now).as_secs());
            refusals = Some(next);
        }
        assert_eq!(rests[..7], [2, 4, 8, 16, 32, 64, 64]);
        assert_eq!(rests.last(), Some(&64));
    }

    #[test]
    fn the_rest_ends_with_time_or_with_another_spec() {
        let now = Instant::now();
        let refused = Refusals::after(None, refusal(), Some(1), now);
        assert_eq!(refused.rest(Some(1), now + Duration::from_millis(500)), Duration::from_millis(1500));
        assert_eq!(refused.rest(Some(1), now + Duration::from_secs(2)), Duration::ZERO);
        assert_eq!(refused.rest(Some(2), now), Duration::ZERO);
        let again = Refusals::after(Some(refused), refusal(), Some(2), now);
        assert_eq!(again.rest(Some(2), now), FIRST_REST, "a new spec begins anew");
    }
}
