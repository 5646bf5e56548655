use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use tokio::time::Instant;

/// When to look at what again: one time each, the earliest that was set.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    at: HashMap<K, Instant>,
    order: BTreeSet<(Instant, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { at: HashMap::new(), order: BTreeSet::new() }
    }
}

impl<K: Copy + Eq + Hash + Ord> Timers<K> {
    /// Looks at `key` then, or earlier if that was set already.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        if self.at.get(&key).is_some_and(|set| *set <= at) {
            return;
        }
        self.clear(key);
        self.at.insert(key, at);
        self.order.insert((at, key));
    }

    pub(crate) fn clear(&mut self, key: K) {
        if let Some(at) = self.at.remove(&key) {
            self.order.remove(&(at, key));
        }
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes one that is due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<K> {
        let (at, key) = *self.order.first()?;
        (at <= now).then(|| {
            self.clear(key);
            key
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_earliest_of_several_times_counts_and_only_once() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        timers.set('a', after(5));
        timers.set('a', after(2));
        timers.set('a', after(9));
        timers.set('b', after(3));
        assert_eq!(timers.next(), Some(after(2)));
        assert_eq!(timers.take(after(1)), None);
        assert_eq!(
            (timers.take(after(4)), timers.take(after(4)), timers.take(after(9))),
            (Some('a'), Some('b'), None)
        );
    }
}
