//! An object that may not parse: it is reported and left out, and the rest of the list goes on.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

/// `K` as its type has it, or why it is not.
#[derive(Debug, Clone)]
pub(crate) struct Lenient<K>(pub(crate) Result<K, Box<Unreadable>>);

/// An object that does not parse.
#[derive(Debug, Clone)]
pub(crate) struct Unreadable {
    pub(crate) metadata: ObjectMeta,
    pub(crate) error: String,
}

#[derive(Deserialize)]
struct OnlyMetadata {
    #[serde(default)]
    metadata: ObjectMeta,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Lenient<K> {
    /// The text is read as `K` first, which is all that happens to one that is well.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        match serde_json::from_str(text.get()) {
            Ok(object) => Ok(Self(Ok(object))),
            Err(error) => {
                let OnlyMetadata { metadata } =
                    serde_json::from_str(text.get()).map_err(serde::de::Error::custom)?;
                Ok(Self(Err(Box::new(Unreadable { metadata, error: error.to_string() }))))
            }
        }
    }
}

impl<K: Resource> Resource for Lenient<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|unreadable| &unreadable.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|unreadable| &mut unreadable.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use crds::ImageJob;
    use kube::core::{ObjectList, WatchEvent};
    use serde_json::json;

    use super::*;

    #[test]
    fn one_object_that_does_not_parse_leaves_the_others_of_its_list_alone() {
        let good = serde_json::to_value(crate::fixtures::job()).unwrap();
        let bad = json!({"metadata": {"name": "bad", "namespace": "studio"}, "spec": {"count": "four"}});
        let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [bad, good]});
        let list: ObjectList<Lenient<ImageJob>> = serde_json::from_str(&list.to_string()).unwrap();
        let [bad, good] = &list.items[..] else { panic!("{list:?}") };
        assert_eq!(bad.meta().name.as_deref(), Some("bad"));
        assert!(bad.0.as_ref().unwrap_err().error.contains("count") || bad.0.is_err());
        assert_eq!(good.0.as_ref().unwrap(), &crate::fixtures::job());
    }

    #[test]
    fn an_event_of_a_watch_is_read_too() {
        let job = serde_json::to_string(&crate::fixtures::job()).unwrap();
        let event = format!(r#"{{"type":"ADDED","object":{job}}}"#);
        let event: WatchEvent<Lenient<ImageJob>> = serde_json::from_str(&event).unwrap();
        assert!(matches!(event, WatchEvent::Added(Lenient(Ok(_)))));
    }
}
