//! The rates of tenants as one replica sees them: for the time while Redis is away.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::BURST_SECONDS;

/// When the next request of each tenant is due (GCRA).
#[derive(Debug, Default)]
pub(super) struct LocalRates(Mutex<HashMap<Arc<str>, Instant>>);

impl LocalRates {
    /// As `admit.lua` answers.
    pub(super) fn admit(&self, tenant: &Arc<str>, per_second: u32) -> (usize, u64, u64) {
        self.admit_at(tenant, per_second, Instant::now())
    }

    fn admit_at(&self, tenant: &Arc<str>, per_second: u32, now: Instant) -> (usize, u64, u64) {
        if per_second == 0 {
            return (0, 0, 0);
        }
        let (each, burst) = (Duration::from_secs(1) / per_second, Duration::from_secs(BURST_SECONDS.into()));
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = due.get(tenant).copied().unwrap_or(now).max(now) + each;
        let early = next.saturating_duration_since(now + burst);
        if !early.is_zero() {
            return (1, u64::try_from(early.as_millis()).unwrap_or(u64::MAX).max(1), 0);
        }
        due.insert(Arc::clone(tenant), next);
        let room = (now + burst).saturating_duration_since(next).as_nanos() / each.as_nanos().max(1);
        (0, 0, u64::try_from(room).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_one_request_at_a_time() {
        let (rates, tenant, now) = (LocalRates::default(), Arc::from("acme"), Instant::now());
        let admitted = (0..30).take_while(|_| rates.admit_at(&tenant, 2, now).0 == 0).count();
        assert_eq!(admitted, 20);
        let (over, wait, _) = rates.admit_at(&tenant, 2, now);
        assert_eq!((over, wait), (1, 500));
        assert_eq!(rates.admit_at(&tenant, 2, now + Duration::from_millis(500)).0, 0);
        assert_eq!(rates.admit_at(&Arc::from("other"), 2, now).0, 0);
    }
}
