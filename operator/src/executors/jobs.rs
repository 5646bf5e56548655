//! Writes the statuses of ImageJobs, and deletes ImageJobs whose time to live is over.
//!
//! A status is written as one JSON patch that replaces it, only on the version it was worked out from: a stale record or
//! a deposed leader gets a conflict instead of overwriting what is newer. Few are written at once, and none while Pods
//! are created: a burst of jobs must not keep the Pods it needs waiting.

use std::sync::Arc;

use crds::{ImageJob, ImageJobStatus};
use futures::{Stream, StreamExt as _};
use kube::{
    Api, Resource as _,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
    core::Request,
};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{Failure, Sender, Server, patch};
use crate::index::Uid;

/// The metrics' label of this executor.
const NAME: &str = "jobs";
/// Requests under way at once.
const AT_ONCE: usize = 16;
/// Work that waits at most.
const WAITING: usize = 64;
/// Of an answer only the metadata is read.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// Which job, and as of which version.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) uid: Uid,
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Box<str>,
    pub(crate) version: u64,
}

/// What to do to a job.
#[derive(Debug)]
pub(crate) enum Write {
    /// Replace its status.
    Status(Box<ImageJobStatus>),
    /// Say in the status of an ended job that this generation of its spec was seen.
    Acknowledge(Option<i64>),
    /// Delete it.
    Delete,
}

/// How it went.
#[derive(Debug)]
pub(crate) enum Written {
    /// The job has this version now.
    As(u64),
    /// The job is newer than what was looked at.
    Conflict,
    /// The job is not there, or another of its name is.
    Gone,
    /// The API server will never take it, and why.
    Refused(String),
    /// It may be tried again.
    Failed(Failure),
}

/// Takes work.
pub(crate) type JobWriter = Sender<(Target, Write)>;

/// The executor, its work, and where its answers come.
pub(crate) fn open(server: Server) -> (JobWriter, impl Future<Output = ()>, mpsc::Receiver<(Uid, Written)>) {
    let (writer, orders) = Sender::new(server.clone(), NAME, WAITING);
    let (answers, answered) = mpsc::channel(WAITING);
    (writer, run(server, orders, answers), answered)
}

async fn run(
    server: Server,
    orders: impl Stream<Item = (Target, Write)>,
    answers: mpsc::Sender<(Uid, Written)>,
) {
    let carry_out = |(target, write): (Target, Write)| {
        let (server, answers) = (&server, &answers);
        async move {
            server.wait_for_pods().await;
            let uid = target.uid;
            let written = carry_out(server, &target, write).await;
            // A closed channel means that the process is ending.
            let _ = answers.send((uid, written)).await;
        }
    };
    orders.for_each_concurrent(AT_ONCE, carry_out).await;
}

async fn carry_out(server: &Server, target: &Target, write: Write) -> Written {
    let result = match write {
        Write::Status(status) => replace(server, target, &status).await,
        Write::Acknowledge(generation) => acknowledge(server, target, generation).await,
        Write::Delete => delete(server, target).await,
    };
    result.unwrap_or_else(sort)
}

fn sort(failure: Failure) -> Written {
    match &failure {
        Failure::Api(kube::Error::Api(status)) if status.is_conflict() => Written::Conflict,
        Failure::Api(kube::Error::Api(status)) if status.is_not_found() => Written::Gone,
        // 422: not by its schema; 413: too large; etcd's own bound comes as 500.
        Failure::Api(kube::Error::Api(status))
            if [413, 422].contains(&status.code) || status.message.contains("request is too large") =>
        {
            Written::Refused(status.message.clone())
        }
        Failure::Api(kube::Error::SerdeError(error)) => Written::Refused(error.to_string()),
        _ => Written::Failed(failure),
    }
}

async fn replace(server: &Server, target: &Target, status: &ImageJobStatus) -> Result<Written, Failure> {
    let patch = patch::status(target.version.to_string(), status).map_err(kube::Error::SerdeError)?;
    send(server, target, patch).await
}

/// Of an ended job's status no more than this is known here.
async fn acknowledge(server: &Server, target: &Target, generation: Option<i64>) -> Result<Written, Failure> {
    let job = server.call(NAME, api(server, target).get(&target.name)).await?;
    let is_it = job.metadata.uid.as_deref() == Some(target.uid.to_string().as_str());
    let Some(status) = job.status.filter(|_| is_it) else { return Ok(Written::Gone) };
    let mut conditions = status.conditions;
    for condition in &mut conditions {
        condition.observed_generation = generation;
    }
    let version = job.metadata.resource_version.unwrap_or_default();
    let patch = patch::observed(version, generation, &conditions).map_err(kube::Error::SerdeError)?;
    send(server, target, patch).await
}

async fn send(server: &Server, target: &Target, patch: json_patch::Patch) -> Result<Written, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        metadata: Version,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        resource_version: String,
    }
    let request = Request::new(ImageJob::url_path(&(), Some(&target.namespace)));
    let patch = Patch::Json::<()>(patch);
    let mut request = request
        .patch_subresource("status", &target.name, &PatchParams::default(), &patch)
        .map_err(kube::Error::BuildRequest)?;
    if let Ok(metadata) = METADATA.parse() {
        request.headers_mut().insert("accept", metadata);
    }
    let answer: Answer = server.call(NAME, server.client.request(request)).await?;
    server.metrics.status_writes.with_label_values(&["imagejob"]).inc();
    Ok(Written::As(answer.metadata.resource_version.parse().unwrap_or_default()))
}

async fn delete(server: &Server, target: &Target) -> Result<Written, Failure> {
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(target.uid.to_string()), resource_version: None }),
        ..DeleteParams::default()
    };
    server.call(NAME, api(server, target).delete(&target.name, &params)).await?;
    Ok(Written::Gone)
}

fn api(server: &Server, target: &Target) -> Api<ImageJob> {
    Api::namespaced(server.client.clone(), &target.namespace)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(code: u16, reason: &str, message: &str) -> Written {
        let status = json!({"status": "Failure", "code": code, "reason": reason, "message": message});
        sort(Failure::Api(kube::Error::Api(serde_json::from_value(status).unwrap())))
    }

    #[test]
    fn what_will_never_be_taken_is_told_from_what_may_be_tried_again() {
        assert!(matches!(refusal(409, "Conflict", "…"), Written::Conflict));
        assert!(matches!(refusal(404, "NotFound", "…"), Written::Gone));
        let invalid = "ImageJob is invalid: status.results[0].seed: must be of type integer";
        assert!(matches!(refusal(422, "Invalid", invalid), Written::Refused(why) if why == invalid));
        let large = "etcdserver: request is too large";
        assert!(matches!(refusal(500, "InternalError", large), Written::Refused(why) if why == large));
        assert!(matches!(refusal(413, "RequestEntityTooLarge", "…"), Written::Refused(_)));
        assert!(matches!(refusal(500, "InternalError", "etcd timed out"), Written::Failed(_)));
        assert!(matches!(sort(Failure::TimedOut), Written::Failed(_)));
    }
}
