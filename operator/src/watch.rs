//! Watches that one bad object can't stop: what does not parse is reported and left out, the rest goes on.

use std::{fmt::Debug, future::ready, sync::Arc};

use futures::{Stream, StreamExt as _};
use kube::{
    Api, Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt as _,
        reflector::store::Writer,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

use crate::metrics::Metrics;

/// What `kubectl apply` keeps in an object: all of it a second time.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Tells when every watch has shown all there is: before that, what is not seen may well be there.
///
/// kube's `Store::wait_until_ready` can't: of several waiters it wakes the last only, and its controllers wait, too.
#[derive(Clone, Default)]
pub(crate) struct Listings(tokio::sync::watch::Sender<usize>);

impl Listings {
    /// Waits until no watch is still on its first list.
    pub(crate) async fn complete(&self) {
        // The sender is here, so it can't be gone.
        let _ = self.0.subscribe().wait_for(|unfinished| *unfinished == 0).await;
    }

    fn begin(&self) -> Listing {
        self.0.send_modify(|unfinished| *unfinished += 1);
        Listing(Some(self.clone()))
    }
}

/// The first list of one watch.
struct Listing(Option<Listings>);

impl Listing {
    fn finish(&mut self) {
        if let Some(listings) = self.0.take() {
            listings.0.send_modify(|unfinished| *unfinished -= 1);
        }
    }
}

/// What a watch says of `K`, kept in `writer`'s store as it passes. `trim` takes off what we never read, so
/// that thousands of objects stay small in memory.
pub(crate) fn reflect<K>(
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
    mut writer: Writer<K>,
    trim: fn(&mut K),
    listings: &Listings,
    metrics: Arc<Metrics>,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let mut listing = listings.begin();
    watcher(api, config).default_backoff().filter_map(move |event| {
        let event = match event {
            Ok(event) => parse(event, &metrics).map(|mut event| {
                trim_event(&mut event, trim);
                writer.apply_watcher_event(&event);
                if matches!(event, Event::InitDone) {
                    listing.finish();
                }
                Ok(event)
            }),
            Err(error) => {
                tracing::warn!(%error, kind = %K::kind(&()), "watch interrupted, it is tried again");
                Some(Err(error))
            }
        };
        ready(event)
    })
}

fn parse<K>(event: Event<DeserializeGuard<K>>, metrics: &Metrics) -> Option<Event<K>>
where
    K: Resource<DynamicType = ()>,
{
    let keep = |guard: DeserializeGuard<K>| match guard.0 {
        Ok(object) => Some(object),
        Err(invalid) => {
            metrics.unparseable.with_label_values(&[K::kind(&()).as_ref()]).inc();
            tracing::error!(
                kind = %K::kind(&()),
                namespace = invalid.metadata.namespace,
                name = invalid.metadata.name,
                error = invalid.error,
                "object does not parse and is left alone"
            );
            None
        }
    };
    match event {
        Event::Apply(object) => keep(object).map(Event::Apply),
        Event::Delete(object) => keep(object).map(Event::Delete),
        Event::InitApply(object) => keep(object).map(Event::InitApply),
        Event::Init => Some(Event::Init),
        Event::InitDone => Some(Event::InitDone),
    }
}

fn trim_event<K: Resource>(event: &mut Event<K>, trim: fn(&mut K)) {
    match event {
        Event::Apply(object) | Event::InitApply(object) => {
            object.managed_fields_mut().clear();
            object.annotations_mut().remove(LAST_APPLIED);
            trim(object);
        }
        Event::Delete(_) | Event::Init | Event::InitDone => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crds::ImageJob;
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::job_with;

    fn guarded(value: Value) -> DeserializeGuard<ImageJob> {
        serde_json::from_value(value).unwrap()
    }

    #[tokio::test]
    async fn everybody_who_waits_for_the_lists_is_woken() {
        let listings = Listings::default();
        let (mut jobs, mut pools) = (listings.begin(), listings.begin());
        let wait = |listings: Listings| tokio::spawn(async move { listings.complete().await });
        let waiters: Vec<_> = (0..3).map(|_| wait(listings.clone())).collect();
        jobs.finish();
        jobs.finish(); // a watch that began anew
        tokio::task::yield_now().await;
        assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
        pools.finish();
        for waiter in waiters {
            tokio::time::timeout(Duration::from_secs(5), waiter).await.unwrap().unwrap();
        }
    }

    #[test]
    fn an_object_that_does_not_parse_is_counted_and_left_out() {
        let metrics = Metrics::new().unwrap();
        let bad = json!({"metadata": {"name": "bad", "namespace": "studio"}, "spec": {"count": "four"}});
        assert!(parse(Event::Apply(guarded(bad)), &metrics).is_none());
        assert_eq!(metrics.unparseable.with_label_values(&["ImageJob"]).get(), 1);
        let good = serde_json::to_value(crate::fixtures::job()).unwrap();
        assert!(matches!(parse(Event::Apply(guarded(good)), &metrics), Some(Event::Apply(_))));
        assert!(matches!(parse::<ImageJob>(Event::InitDone, &metrics), Some(Event::InitDone)));
        assert_eq!(metrics.unparseable.with_label_values(&["ImageJob"]).get(), 1);
    }

    #[test]
    fn what_is_kept_in_memory_is_trimmed() {
        let job = job_with(json!({"metadata": {
            "annotations": {LAST_APPLIED: "{…}", "team": "art"},
            "managedFields": [{"manager": "kubectl"}],
        }}));
        let mut event = Event::Apply(job);
        trim_event(&mut event, |job| job.spec.text_to_image = None);
        let Event::Apply(job) = event else { panic!("another event") };
        assert_eq!(job.annotations().keys().collect::<Vec<_>>(), ["team"]);
        assert!(job.managed_fields().is_empty() && job.spec.text_to_image.is_none());
    }
}
