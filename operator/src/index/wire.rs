//! An ImageJob as its watch shows it, as far as it is read. Graphs stay text, and images are not read at all: thousands of
//! jobs pass here, some with a workflow of a megabyte.

use std::collections::BTreeMap;

use crds::{Condition, Counts, ImageJob, ImageJobSpec, JobOutput, JobPool, PoolRef};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// An ImageJob, in short.
#[derive(Debug, Clone, Deserialize, Resource)]
#[serde(try_from = "Wire")]
#[resource(inherit = ImageJob)]
pub(crate) struct JobObject {
    pub(crate) metadata: ObjectMeta,
    pub(crate) spec: SpecSeen,
    /// The whole of a job that is not accepted yet, as JSON of [`Whole`].
    pub(crate) text: Option<Box<RawValue>>,
    pub(crate) status: StatusSeen,
}

/// A job that is to be accepted.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Whole {
    pub(crate) labels: BTreeMap<String, String>,
    /// As its annotation has it, perhaps invalid.
    #[serde(default)]
    pub(crate) traceparent: Option<String>,
    pub(crate) spec: ImageJobSpec,
}

#[derive(Serialize)]
struct WholeText<'a> {
    labels: BTreeMap<String, String>,
    traceparent: Option<String>,
    spec: &'a RawValue,
}

#[derive(Deserialize)]
struct Wire {
    metadata: Metadata,
    spec: Box<RawValue>,
    status: Option<StatusSeen>,
}

/// Without `managedFields`, which are longer than all the rest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: Annotations,
}

/// What is read of a job's annotations; others are long.
#[derive(Default, Deserialize)]
struct Annotations {
    /// [`crds::names::ANNOTATION_TRACEPARENT`]
    #[serde(rename = "imagejob.dev/traceparent")]
    traceparent: Option<String>,
}

/// What is read of a spec before it is validated.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SpecSeen {
    pub(crate) pool_ref: Option<PoolRef>,
    pub(crate) tenant: Option<String>,
    #[serde(default)]
    pub(crate) work: WorkSeen,
    #[serde(default = "one")]
    pub(crate) count: u32,
    pub(crate) ttl_seconds_after_finished: Option<u32>,
    #[serde(default)]
    pub(crate) suspend: bool,
    #[serde(default)]
    pub(crate) cancel: bool,
}

/// What is read of the work.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WorkSeen {
    pub(crate) text_to_image: Option<PictureSeen>,
}

/// What is read of textToImage. How much work it is can be told where nothing is left to the model's family.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PictureSeen {
    pub(crate) model: String,
    pub(crate) width: Option<u32>,
    pub(crate) height: Option<u32>,
    pub(crate) steps: Option<u32>,
}

const fn one() -> u32 {
    1
}

/// What is read of a status.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StatusSeen {
    pub(crate) observed_generation: Option<i64>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) counts: Option<Counts>,
    pub(crate) pool: Option<JobPool>,
    pub(crate) class: Option<String>,
    pub(crate) tenant: Option<String>,
    #[serde(with = "crds::seed")]
    pub(crate) seed: Option<u64>,
    pub(crate) segments: Option<u32>,
    pub(crate) accepted_time: Option<Time>,
    pub(crate) sla_seconds: Option<u32>,
    pub(crate) weight: Option<u32>,
    pub(crate) workflow_digest: Option<String>,
    pub(crate) output: Option<JobOutput>,
    pub(crate) suspended_time: Option<Time>,
    pub(crate) suspended_seconds: Option<u64>,
    pub(crate) start_time: Option<Time>,
    pub(crate) completion_time: Option<Time>,
    pub(crate) estimated_completion_time: Option<Time>,
    pub(crate) interruptions: Option<u32>,
    pub(crate) retries: Option<u32>,
}

impl TryFrom<Wire> for JobObject {
    type Error = serde_json::Error;

    fn try_from(wire: Wire) -> Result<Self, Self::Error> {
        let Wire { metadata, spec: text, status } = wire;
        let Metadata {
            namespace,
            name,
            uid,
            resource_version,
            generation,
            creation_timestamp,
            deletion_timestamp,
            labels,
            annotations: Annotations { traceparent },
        } = metadata;
        let metadata = ObjectMeta {
            namespace,
            name,
            uid,
            resource_version,
            generation,
            creation_timestamp,
            deletion_timestamp,
            ..ObjectMeta::default()
        };
        let spec = serde_json::from_str(text.get())?;
        let status = status.unwrap_or_default();
        let open = status.pool.is_none() && status.completion_time.is_none();
        let text = open.then(|| to_raw_value(&WholeText { labels, traceparent, spec: &text })).transpose()?;
        Ok(Self { metadata, spec, text, status })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{job_with, pool_of};

    fn seen(change: serde_json::Value) -> JobObject {
        serde_json::from_str(&serde_json::to_string(&job_with(change)).unwrap()).unwrap()
    }

    #[test]
    fn a_prompt_is_kept_with_its_jobs_labels_only_until_the_job_is_accepted() {
        assert!(seen(json!({})).text.unwrap().get().contains("a lighthouse at dusk"));
        assert!(seen(json!({"status": {"pool": pool_of("sd15")}})).text.is_none());
        let labelled = seen(json!({"metadata": {"labels": {"team": "art"}}})).text.unwrap();
        let whole: Whole = serde_json::from_str(labelled.get()).unwrap();
        assert_eq!((whole.labels["team"].as_str(), whole.spec.count), ("art", 4));
        let traced =
            json!({"metadata": {"annotations": {crds::names::ANNOTATION_TRACEPARENT: "00-a", "other": "b"}}});
        let whole: Whole = serde_json::from_str(seen(traced).text.unwrap().get()).unwrap();
        assert_eq!(whole.traceparent.as_deref(), Some("00-a"));
        let failed_before = json!({"status": {"completionTime": crate::fixtures::CREATED}});
        assert!(seen(failed_before).text.is_none());
    }
}
