//! An object that may not parse: it is reported and left out, and the rest of the list goes on.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

/// `K` as its type has it, or why it is not.
#[derive(Debug, Clone)]
pub struct Lenient<K>(
    /// The object, or what can be told of one that does not parse.
    pub Result<K, Box<Unreadable>>,
);

/// An object that does not parse.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Why it does not parse, for people.
    pub error: String,
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
    use kube::core::{ObjectList, WatchEvent};

    use super::*;
    use crate::ImageJob;

    const GOOD: &str = r#"{"metadata": {"name": "good"}, "spec": {"work": {"type": "TextToImage",
        "textToImage": {"model": "a", "prompt": "b"}}}}"#;

    #[test]
    fn one_object_that_does_not_parse_leaves_the_others_of_its_list_alone() {
        let bad = r#"{"metadata": {"name": "bad"}, "spec": {"count": "four"}}"#;
        let list =
            format!(r#"{{"apiVersion": "v1", "kind": "List", "metadata": {{}}, "items": [{bad}, {GOOD}]}}"#);
        let list: ObjectList<Lenient<ImageJob>> = serde_json::from_str(&list).unwrap();
        let [bad, good] = &list.items[..] else { panic!("{list:?}") };
        assert_eq!(bad.meta().name.as_deref(), Some("bad"));
        assert!(!bad.0.as_ref().unwrap_err().error.is_empty());
        assert_eq!(good.0.as_ref().unwrap().spec.count, 1);
    }

    #[test]
    fn an_event_of_a_watch_is_read_too() {
        let event = format!(r#"{{"type":"ADDED","object":{GOOD}}}"#);
        let event: WatchEvent<Lenient<ImageJob>> = serde_json::from_str(&event).unwrap();
        assert!(matches!(event, WatchEvent::Added(Lenient(Ok(_)))));
    }
}
