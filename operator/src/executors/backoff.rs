use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

/// Ever longer pauses after failures in a row. No two objects pause for equally long, so that what failed together does
/// not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// How long to wait after one more failure; between half and all of what is due.
    pub(crate) fn next(&mut self, of: &impl Hash) -> Duration {
        let due = self.first.saturating_mul(2u32.saturating_pow(self.failures)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let mut hasher = DefaultHasher::new();
        (of, self.failures).hash(&mut hasher);
        let part = u32::try_from(hasher.finish() % 1000).unwrap_or_default();
        due / 2 + due / 2 * part / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ_between_objects() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(60));
        let pauses = |of: u32| {
            let mut backoff = Backoff::new(first, longest);
            (0..10).map(|_| backoff.next(&of)).collect::<Vec<_>>()
        };
        for (n, pause) in pauses(1).into_iter().enumerate() {
            let due = first.saturating_mul(1 << n).min(longest);
            assert!(pause >= due / 2 && pause <= due, "{n}: {pause:?}");
        }
        assert_ne!(pauses(1), pauses(2));
    }
}
