use serde::{Deserialize, Serialize};

/// Every image of a job, as a JSON object in the bucket; for jobs with more images than a status can hold. What
/// is said of an image (`I`) is for the writer to choose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest<I> {
    /// The ImageJob's namespace.
    pub namespace: String,
    /// The ImageJob's name.
    pub name: String,
    /// The ImageJob's uid.
    pub uid: String,
    /// The images, by index; an index that failed is missing.
    pub images: Vec<I>,
}
