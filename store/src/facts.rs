use std::{collections::HashMap, fmt::Write as _};

/// The facts about a file that its object carries as user metadata, so that whoever finds the object can report the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// The id of the node that made it.
    pub node: String,
    /// Its name for people.
    pub name: String,
    /// Its kind, e.g. `image/png`; it is the object's content type.
    pub media_type: String,
    /// The width in pixels, where it has one.
    pub width: Option<u32>,
    /// The height in pixels, where it has one.
    pub height: Option<u32>,
    /// How long it plays, in milliseconds, where it does.
    pub duration_ms: Option<u64>,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// The seed of the image, if it is known.
    pub seed: Option<u64>,
    /// The engine time of all attempts, in milliseconds.
    pub gpu_ms: u64,
    /// The number of the attempt that made it, from 1.
    pub attempt: u32,
    /// The capacity on which it was made: `spot` or `onDemand`.
    pub capacity: String,
    /// The worker that made it.
    pub worker: String,
    /// The extensions of all files of the task, in their order; each is part of the key of its file.
    pub extensions: Vec<String>,
    /// The job's labels, as `key=value` with `&` between them, cut at 1 KiB: an object's metadata has 2 KiB.
    pub labels: String,
}

/// What metadata may hold of the labels.
const LABELS_MAX: usize = 1024;

impl FileFacts {
    /// Labels, as they stand in [`FileFacts::labels`].
    #[must_use]
    pub fn labels_of<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
        let mut text = String::new();
        for (key, value) in labels {
            let pair = format!("{}={}", escaped(key), escaped(value));
            if text.len() + pair.len() < LABELS_MAX {
                if !text.is_empty() {
                    text.push('&');
                }
                text.push_str(&pair);
            }
        }
        text
    }

    pub(crate) fn to_metadata(&self) -> HashMap<String, String> {
        let mut metadata = HashMap::from([
            ("node".into(), escaped(&self.node)),
            ("name".into(), escaped(&self.name)),
            ("media-type".into(), self.media_type.clone()),
            ("sha256".into(), self.sha256.clone()),
            ("gpu-ms".into(), self.gpu_ms.to_string()),
            ("attempt".into(), self.attempt.to_string()),
            ("capacity".into(), self.capacity.clone()),
            ("worker".into(), self.worker.clone()),
            ("files".into(), self.extensions.join(",")),
        ]);
        let numbers = [
            ("width", self.width.map(u64::from)),
            ("height", self.height.map(u64::from)),
            ("duration-ms", self.duration_ms),
            ("seed", self.seed),
        ];
        for (name, number) in numbers {
            metadata.extend(number.map(|number| (name.to_owned(), number.to_string())));
        }
        if !self.labels.is_empty() {
            metadata.insert("labels".into(), self.labels.clone());
        }
        metadata
    }

    /// Reads the facts; `None` if we did not write the object.
    pub(crate) fn from_metadata(metadata: &HashMap<String, String>) -> Option<Self> {
        let text = |name: &str| metadata.get(name).cloned();
        let number = |name: &str| text(name)?.parse::<u64>().ok();
        let small = |name: &str| u32::try_from(number(name)?).ok();
        Some(Self {
            node: unescaped(&text("node")?),
            name: unescaped(&text("name")?),
            media_type: text("media-type")?,
            width: small("width"),
            height: small("height"),
            duration_ms: number("duration-ms"),
            sha256: text("sha256")?,
            seed: number("seed"),
            gpu_ms: number("gpu-ms")?,
            attempt: small("attempt")?,
            capacity: text("capacity")?,
            worker: text("worker")?,
            extensions: text("files")?.split(',').map(str::to_owned).collect(),
            labels: text("labels").unwrap_or_default(),
        })
    }
}

/// Metadata travels in HTTP headers, which hold ASCII: other characters, `%`, `&` and `=` are percent-encoded.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        match byte {
            b'%' | b'&' | b'=' | b'+' | 0..=b' ' | 0x7f.. => drop(write!(escaped, "%{byte:02X}")), // a String takes all
            _ => escaped.push(char::from(byte)),
        }
        escaped
    })
}

pub(crate) fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits =
            tail.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{FileFacts, escaped, unescaped};

    #[test]
    fn any_text_travels_in_a_header() {
        for text in ["9", "57:3", "Maß & Co = 100 %", "日本_00001.png", "%41", "a\nb", ""] {
            let header = escaped(text);
            assert!(header.bytes().all(|byte| byte.is_ascii_graphic()), "{header}");
            assert_eq!(unescaped(&header), text);
        }
    }

    #[test]
    fn labels_are_readable_and_never_too_long() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let labels = [pair("app.kubernetes.io/name", "shop"), pair("campaign", "a=b&c")];
        let of = |labels: &[(String, String)]| FileFacts::labels_of(labels.iter().map(|(k, v)| (k, v)));
        assert_eq!(of(&labels), "app.kubernetes.io/name=shop&campaign=a%3Db%26c");
        let many: Vec<_> = (0..100).map(|n| pair(&format!("key-{n}"), &"x".repeat(63))).collect();
        assert!(of(&many).len() <= 1024);
    }
}
