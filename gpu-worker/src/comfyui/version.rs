use serde::Deserialize;
use serde_json::Value;

/// The oldest ComfyUI that works here: from it on an interrupt can name its prompt. An older one takes every interrupt
/// for whatever runs, which may be the next picture already.
/// Source: <https://github.com/Comfy-Org/ComfyUI/pull/9607>.
const OLDEST: Version = Version([0, 3, 57]);

/// What an engine says of itself.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct About {
    #[serde(default)]
    system: System,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct System {
    comfyui_version: Option<Value>,
    pytorch_version: Option<Value>,
}

/// `major.minor.patch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version([u32; 3]);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self([major, minor, patch]) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl About {
    /// Its version, as it says it.
    #[must_use]
    pub fn comfyui(&self) -> &str {
        text(self.system.comfyui_version.as_ref())
    }

    /// PyTorch's.
    #[must_use]
    pub fn pytorch(&self) -> &str {
        text(self.system.pytorch_version.as_ref())
    }

    /// Why it can't be used; a version that can't be read is taken for a new one.
    pub(super) fn refusal(&self) -> Option<String> {
        let version = parse(self.comfyui()).filter(|version| *version < OLDEST)?;
        Some(format!(
            "ComfyUI {version} is too old: {OLDEST} is the oldest that works, use a newer engine image"
        ))
    }
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or("unknown")
}

/// `0.3.64`, `v0.3.64`, `0.4`, `0.3.64-rc1`, `0.3.64+build`.
fn parse(text: &str) -> Option<Version> {
    let numbers = text.trim().trim_start_matches(['v', 'V']).split(['-', '+']).next()?;
    let mut version = [0; 3];
    for (place, number) in version.iter_mut().zip(numbers.split('.')) {
        *place = number.parse().ok()?;
    }
    Some(Version(version))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::About;

    #[test]
    fn only_a_version_known_to_be_too_old_is_refused() {
        let table = [
            (json!("0.3.56"), true),
            (json!("v0.2.99"), true),
            (json!("0.3.57"), false),
            (json!("0.3.64"), false),
            (json!("0.4"), false),
            (json!("0.33.0"), false),
            (json!("1.0.0-rc1"), false),
            (json!("0.3.57+cu128"), false),
            (json!("nightly"), false),
            (json!(null), false),
            (json!(5), false),
        ];
        for (version, refused) in table {
            let about = json!({"system": {"comfyui_version": version}, "devices": []});
            let about: About = serde_json::from_value(about).expect("an answer");
            assert_eq!(about.refusal().is_some(), refused, "{version}");
        }
        assert_eq!(serde_json::from_str::<About>("{}").expect("an answer").refusal(), None);
    }
}
