use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

/// Whose prompt it is: travels in a prompt's extra data and comes back in the engine's queue and history, so that our
/// prompts can be distinguished from those of others who use the same engine, and from those of a worker that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The worker's pool, `namespace/name`.
    pub pool: String,
    /// The worker's id.
    pub worker: String,
}

/// A prompt's extra data, of which only our own is read.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) mark: Option<Mark>,
}

impl Extra {
    /// Our key in a prompt's extra data.
    pub(super) const KEY: &str = "imagejob";
}

/// Others may have put anything there, an object or not.
impl<'de> Deserialize<'de> for Extra {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Data;
        impl<'de> Visitor<'de> for Data {
            type Value = Extra;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a prompt's extra data")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut data: A) -> Result<Extra, A::Error> {
                let mut extra = Extra::default();
                while let Some(key) = data.next_key::<String>()? {
                    if key == Extra::KEY {
                        extra.mark = serde_json::from_value(data.next_value::<Value>()?).ok();
                    } else {
                        data.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(extra)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Extra, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Extra::default())
            }

            fn visit_unit<E>(self) -> Result<Extra, E> {
                Ok(Extra::default())
            }

            fn visit_str<E>(self, _: &str) -> Result<Extra, E> {
                Ok(Extra::default())
            }
        }
        deserializer.deserialize_any(Data)
    }
}
