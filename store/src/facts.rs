use std::collections::HashMap;

/// The facts about an image that its object carries as user metadata, so that whoever finds the object can report the
/// image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
    /// The seed of the image, if it is known.
    pub seed: Option<u64>,
    /// The engine time of all attempts, in milliseconds.
    pub gpu_ms: u64,
    /// The number of the attempt that made the image, from 1.
    pub attempt: u32,
    /// The capacity on which the image was made: `spot` or `onDemand`.
    pub capacity: String,
    /// The worker that made the image.
    pub worker: String,
    /// The number of images that the task made. The others have keys beside this one.
    pub outputs: u32,
}

impl ImageFacts {
    pub(crate) fn to_metadata(&self) -> HashMap<String, String> {
        let Self { width, height, seed, gpu_ms, attempt, capacity, worker, outputs } = self;
        let mut metadata = HashMap::from([
            ("width".into(), width.to_string()),
            ("height".into(), height.to_string()),
            ("gpu-ms".into(), gpu_ms.to_string()),
            ("attempt".into(), attempt.to_string()),
            ("capacity".into(), capacity.clone()),
            ("worker".into(), worker.clone()),
            ("outputs".into(), outputs.to_string()),
        ]);
        if let Some(seed) = seed {
            metadata.insert("seed".into(), seed.to_string());
        }
        metadata
    }

    /// Reads the facts; `None` if we did not write the object.
    pub(crate) fn from_metadata(metadata: &HashMap<String, String>) -> Option<Self> {
        let text = |name: &str| metadata.get(name).cloned();
        let number = |name: &str| text(name)?.parse::<u64>().ok();
        let small = |name: &str| u32::try_from(number(name)?).ok();
        Some(Self {
            width: small("width")?,
            height: small("height")?,
            seed: number("seed"),
            gpu_ms: number("gpu-ms")?,
            attempt: small("attempt")?,
            capacity: text("capacity")?,
            worker: text("worker")?,
            outputs: small("outputs")?,
        })
    }
}
