use std::time::Duration;

use tokio::{sync::watch, time::Instant};

/// Tells when every watch has shown all there is: before that, what is not seen may well be there.
#[derive(Clone, Default)]
pub(crate) struct Listings(watch::Sender<Vec<Listing>>);

/// The state of one watch's list.
struct Listing {
    kind: &'static str,
    complete: bool,
    /// Since when it fails, and why.
    failing: Option<(Instant, String)>,
}

/// One watch's hand on [`Listings`].
pub(crate) struct Watching {
    listings: Listings,
    at: usize,
}

impl Listings {
    /// Waits until no watch is still on its first list.
    pub(crate) async fn complete(&self) {
        // The sender is here, so it can't be gone.
        let _ = self.0.subscribe().wait_for(|all| all.iter().all(|listing| listing.complete)).await;
    }

    /// A watch that failed for at least so long, and why.
    pub(crate) fn failing(&self, for_at_least: Duration) -> Option<String> {
        self.0.borrow().iter().find_map(|listing| {
            let (since, why) = listing.failing.as_ref()?;
            (since.elapsed() >= for_at_least).then(|| format!("{}: {why}", listing.kind))
        })
    }

    /// Another watch begins.
    pub(crate) fn begin(&self, kind: &'static str) -> Watching {
        let mut at = 0;
        self.0.send_modify(|all| {
            at = all.len();
            all.push(Listing { kind, complete: false, failing: None });
        });
        Watching { listings: self.clone(), at }
    }
}

impl Watching {
    /// It has shown all there is, not necessarily for the first time.
    pub(crate) fn complete(&self) {
        self.update(|listing| {
            listing.complete = true;
            listing.failing = None;
        });
    }

    pub(crate) fn works(&self) {
        if self.listings.0.borrow().get(self.at).is_some_and(|listing| listing.failing.is_some()) {
            self.update(|listing| listing.failing = None);
        }
    }

    pub(crate) fn fails(&self, why: String) {
        self.update(|listing| {
            let since = listing.failing.take().map_or_else(Instant::now, |(since, _)| since);
            listing.failing = Some((since, why));
        });
    }

    fn update(&self, change: impl FnOnce(&mut Listing)) {
        self.listings.0.send_modify(|all| {
            if let Some(listing) = all.get_mut(self.at) {
                change(listing);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_who_waits_for_the_lists_is_woken() {
        let listings = Listings::default();
        let (jobs, pools) = (listings.begin("ImageJob"), listings.begin("WorkerPool"));
        let wait = |listings: Listings| tokio::spawn(async move { listings.complete().await });
        let waiters: Vec<_> = (0..3).map(|_| wait(listings.clone())).collect();
        jobs.complete();
        jobs.complete(); // a watch that began anew
        tokio::task::yield_now().await;
        assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
        pools.complete();
        for waiter in waiters {
            tokio::time::timeout(Duration::from_secs(5), waiter).await.unwrap().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_for_long_is_named_until_it_works() {
        let listings = Listings::default();
        let nodes = listings.begin("Node");
        nodes.fails("nodes is forbidden".into());
        tokio::time::advance(Duration::from_secs(30)).await;
        nodes.fails("nodes is forbidden".into());
        assert_eq!(listings.failing(Duration::from_secs(60)), None);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(listings.failing(Duration::from_secs(60)).as_deref(), Some("Node: nodes is forbidden"));
        nodes.works();
        assert_eq!(listings.failing(Duration::ZERO), None);
    }
}
