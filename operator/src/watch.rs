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

/// What a watch says of `K`, kept in `writer`'s store as it passes. `trim` takes off what we never read, so
/// that thousands of objects stay small in memory.
pub(crate) fn reflect<K>(
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
    mut writer: Writer<K>,
    trim: fn(&mut K),
    metrics: Arc<Metrics>,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    watcher(api, config).default_backoff().filter_map(move |event| {
        let event = match event {
            Ok(event) => parse(event, &metrics).map(|mut event| {
                trim_event(&mut event, trim);
                writer.apply_watcher_event(&event);
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
    use crds::ImageJob;
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::job_with;

    fn guarded(value: Value) -> DeserializeGuard<ImageJob> {
        serde_json::from_value(value).unwrap()
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
