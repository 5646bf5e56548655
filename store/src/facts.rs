use std::collections::HashMap;

/// What an image's object says of itself (as user metadata), so that whoever finds it can report it in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The seed it was drawn from, where one can be told.
    pub seed: Option<u64>,
    /// Engine time it took, over all attempts, milliseconds.
    pub gpu_ms: u64,
    /// The attempt that made it, from 1.
    pub attempt: u32,
    /// `spot` or `onDemand`: where it was made.
    pub capacity: String,
    /// Who made it.
    pub worker: String,
    /// Images the task made in all; the others stand beside it.
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

    /// `None` if the object is not one of ours.
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
