//! A job as it is kept: what answers are made of, without its work. Thousands are kept, and a workflow may have a
//! megabyte.

use std::{collections::BTreeMap, sync::OnceLock};

use bytes::Bytes;
use crds::{
    ImageJob, ImageJobStatus, PoolRef, Time, WorkType,
    conditions::{ConditionType, JobReason, find_condition, is_true},
    names::{ANNOTATION_NOTIFIED, ANNOTATION_REQUEST, LABEL_API_KEY, LABEL_FRONT},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::JobKey;
use crate::webhooks::Webhook;

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// No image is being made yet.
    Queued,
    /// At least one image is being made.
    Running,
    /// No image is started until the job is resumed.
    Suspended,
    /// It was cancelled, and images that are being made are stopped.
    Cancelling,
    /// Every image is made.
    Completed,
    /// It ended without all of its images.
    Failed,
    /// It was cancelled before all images were made.
    Cancelled,
}

impl State {
    /// Whether it stays so.
    pub(crate) const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What the request said beside the spec; kept in an annotation of the job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Request {
    /// The digest of the request's body, by which one that comes again is told from another.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) digest: String,
    /// What the caller calls it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    /// Who is to be told of the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) webhook: Option<Webhook>,
    /// What the front keeps for its own answers.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) front: Map<String, Value>,
}

/// A job.
#[derive(Debug, Default)]
pub(crate) struct Job {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    /// The object's resourceVersion: another one, another state.
    pub(crate) version: String,
    pub(crate) tenant: String,
    pub(crate) created: Option<Time>,
    pub(crate) pool: Option<PoolRef>,
    pub(crate) class: Option<String>,
    pub(crate) count: u32,
    /// How long it stays after its end, seconds; `None`: for ever.
    pub(crate) ttl: Option<u32>,
    pub(crate) work: Option<WorkType>,
    pub(crate) state: Option<State>,
    /// The reason and the message of its Ready condition.
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) late: bool,
    pub(crate) key: Option<String>,
    pub(crate) front: Option<String>,
    pub(crate) request: Request,
    /// Everybody who wanted to be told of its end was told.
    pub(crate) is_notified: bool,
    /// Without its conditions.
    pub(crate) status: ImageJobStatus,
    /// Its JSON in the own API, once somebody has asked for it.
    pub(crate) json: OnceLock<Bytes>,
}

impl Job {
    pub(crate) fn key(&self) -> JobKey {
        JobKey { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    pub(crate) fn state(&self) -> State {
        self.state.unwrap_or(State::Queued)
    }

    /// When it was created, seconds since the Unix epoch; so exact are the API server's times.
    pub(crate) fn created_second(&self) -> i64 {
        self.created.as_ref().map_or(0, |time| time.0.as_second())
    }
}

/// An ImageJob as its watch shows it, as far as it is read.
#[derive(Debug, Clone, Deserialize, Resource)]
#[resource(inherit = ImageJob)]
pub(crate) struct JobObject {
    pub(crate) metadata: ObjectMeta,
    spec: SpecSeen,
    #[serde(default)]
    status: Option<ImageJobStatus>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecSeen {
    pool_ref: Option<PoolRef>,
    tenant: Option<String>,
    class: Option<String>,
    #[serde(default = "one")]
    count: u32,
    #[serde(default)]
    suspend: bool,
    #[serde(default)]
    cancel: bool,
    ttl_seconds_after_finished: Option<u32>,
    work: WorkSeen,
}

#[derive(Debug, Clone, Deserialize)]
struct WorkSeen {
    #[serde(rename = "type")]
    kind: WorkType,
}

const fn one() -> u32 {
    1
}

impl From<JobObject> for Job {
    fn from(object: JobObject) -> Self {
        let JobObject { mut metadata, spec, status } = object;
        let mut status = status.unwrap_or_default();
        let conditions = std::mem::take(&mut status.conditions);
        let ready = find_condition(&conditions, ConditionType::Ready);
        let said = |text: fn(&crds::Condition) -> &String| ready.map(text).cloned().unwrap_or_default();
        let (reason, message) = (said(|ready| &ready.reason), said(|ready| &ready.message));
        let state = if is_true(&conditions, ConditionType::Complete) {
            State::Completed
        } else if is_true(&conditions, ConditionType::Failed) {
            if reason == JobReason::Cancelled.as_str() { State::Cancelled } else { State::Failed }
        } else if spec.cancel {
            State::Cancelling
        } else if spec.suspend {
            State::Suspended
        } else if reason == JobReason::Running.as_str() {
            State::Running
        } else {
            State::Queued
        };
        let mut labels = metadata.labels.take().unwrap_or_default();
        let request = metadata.annotations.as_mut().and_then(|all| all.remove(ANNOTATION_REQUEST));
        let is_notified = metadata.annotations.is_some_and(|all| all.contains_key(ANNOTATION_NOTIFIED));
        let namespace = metadata.namespace.unwrap_or_default();
        Self {
            tenant: status.tenant.take().or(spec.tenant).unwrap_or_else(|| namespace.clone()),
            namespace,
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            version: metadata.resource_version.unwrap_or_default(),
            created: metadata.creation_timestamp,
            pool: spec.pool_ref,
            class: spec.class,
            count: spec.count,
            ttl: spec.ttl_seconds_after_finished,
            work: Some(spec.work.kind),
            state: Some(state),
            reason,
            message,
            late: is_true(&conditions, ConditionType::Late),
            key: labels.remove(LABEL_API_KEY),
            front: labels.remove(LABEL_FRONT),
            // Whoever may write jobs may write anything there.
            request: request.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
            is_notified,
            status,
            json: OnceLock::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(spec: &Value, conditions: &Value) -> Job {
        let mut object = json!({
            "metadata": {"namespace": "studio", "name": "a", "annotations": {ANNOTATION_REQUEST: "not JSON"}},
            "spec": {"work": {"type": "TextToImage", "textToImage": {}}},
            "status": {"conditions": conditions},
        });
        object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value::<JobObject>(object).unwrap().into()
    }

    fn condition(kind: &str, status: bool, reason: &str) -> Value {
        let status = if status { "True" } else { "False" };
        let at = "2026-01-01T00:00:00Z";
        json!({"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": at})
    }

    #[test]
    fn the_state_is_told_by_the_conditions_and_before_them_by_the_wish() {
        let ready = |reason: &str| condition("Ready", false, reason);
        for (spec, conditions, state) in [
            (json!({}), json!([]), State::Queued),
            (json!({}), json!([ready("PoolNotFound")]), State::Queued),
            (json!({}), json!([ready("Running")]), State::Running),
            (json!({"suspend": true}), json!([ready("Running")]), State::Suspended),
            (json!({"cancel": true}), json!([ready("Running")]), State::Cancelling),
            (
                json!({"cancel": true}),
                json!([ready("Cancelled"), condition("Failed", true, "Cancelled")]),
                State::Cancelled,
            ),
            (json!({}), json!([ready("Rejected"), condition("Failed", true, "Rejected")]), State::Failed),
            (json!({"cancel": true}), json!([condition("Complete", true, "Completed")]), State::Completed),
        ] {
            assert_eq!(job(&spec, &conditions).state(), state, "{spec} {conditions}");
        }
    }

    #[test]
    fn whose_it_is_says_the_spec_else_the_namespace() {
        assert_eq!(job(&json!({}), &json!([])).tenant, "studio");
        assert_eq!(job(&json!({"tenant": "acme"}), &json!([])).tenant, "acme");
    }
}
