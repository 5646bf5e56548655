use serde::{Deserialize, Serialize};

/// Every image of a job, as a JSON object in the bucket; for jobs with more images than a status can hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The ImageJob's namespace.
    pub namespace: String,
    /// The ImageJob's name.
    pub name: String,
    /// The ImageJob's uid.
    pub uid: String,
    /// The images, by index; an index that failed is missing.
    pub images: Vec<ManifestImage>,
}

/// One image of a [`Manifest`]; the same fields as in the ImageJob's status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestImage {
    /// Which image of the job, from 0.
    pub index: u32,
    /// Its address.
    pub url: String,
    /// Its key in the bucket.
    pub key: String,
    /// The store's tag of its content.
    pub etag: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The seed it was drawn from, where one can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Engine time, seconds.
    pub gpu_seconds: f64,
    /// `spot` or `onDemand`: where it was made.
    pub capacity: String,
    /// Attempts it took, interruptions included.
    pub attempts: u32,
}
