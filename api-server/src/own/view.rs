//! A job as the own API shows it: with the names of the ImageJob's status.

use std::collections::BTreeMap;

use bytes::Bytes;
use crds::{Cost, Counts, ImageFailure, JobResult, PoolRef, Time, WorkType};
use serde::Serialize;

use crate::{
    app::App,
    cache::{Job, State},
};

/// A job.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobView<'a> {
    id: &'a str,
    state: State,
    reason: &'a str,
    message: &'a str,
    late: bool,
    #[serde(rename = "type")]
    kind: Option<WorkType>,
    labels: &'a BTreeMap<String, String>,
    front: Option<&'a str>,
    api_key: Option<&'a str>,
    pool: Option<PoolView<'a>>,
    class: Option<&'a str>,
    count: u32,
    counts: Counts,
    created_time: Option<&'a Time>,
    accepted_time: Option<&'a Time>,
    start_time: Option<&'a Time>,
    completion_time: Option<&'a Time>,
    due_time: Option<&'a Time>,
    estimated_completion_time: Option<&'a Time>,
    #[serde(with = "crds::seed", skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    results: &'a [JobResult],
    #[serde(rename = "manifestURL", skip_serializing_if = "Option::is_none")]
    manifest_url: Option<&'a str>,
    failures: &'a [ImageFailure],
    interruptions: u32,
    retries: u32,
    cost: Option<&'a Cost>,
    links: Links,
}

#[derive(Serialize)]
struct PoolView<'a> {
    namespace: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Links {
    #[serde(rename = "self")]
    this: String,
    events: String,
    cancel: String,
    /// What the paths of files begin with: then come the image's number and the file's.
    results: String,
}

/// The job's JSON, made once for each of its states.
pub(crate) fn json(app: &App, job: &Job) -> Bytes {
    job.json.get_or_init(|| serde_json::to_vec(&view(app, job)).unwrap_or_default().into()).clone()
}

fn view<'a>(app: &App, job: &'a Job) -> JobView<'a> {
    let status = &job.status;
    let asked = job.pool.as_ref();
    let namespace = |pool: &'a PoolRef| pool.namespace.as_deref().unwrap_or(&job.namespace);
    let pool = status.pool.as_ref().map(|pool| PoolView { namespace: &pool.namespace, name: &pool.name });
    let this = format!("{}/v1/jobs/{}", app.public_url, job.name);
    JobView {
        id: &job.name,
        state: job.state(),
        reason: &job.reason,
        message: &job.message,
        late: job.late,
        kind: job.work,
        labels: &job.request.labels,
        front: job.front.as_deref(),
        api_key: job.key.as_deref(),
        pool: pool.or_else(|| asked.map(|pool| PoolView { namespace: namespace(pool), name: &pool.name })),
        class: status.class.as_deref().or(job.class.as_deref()),
        count: job.count,
        counts: status.counts.unwrap_or(Counts { total: job.count, waiting: job.count, ..Counts::default() }),
        created_time: job.created.as_ref(),
        accepted_time: status.accepted_time.as_ref(),
        start_time: status.start_time.as_ref(),
        completion_time: status.completion_time.as_ref(),
        due_time: status.due_time.as_ref(),
        estimated_completion_time: status.estimated_completion_time.as_ref(),
        seed: status.seed,
        results: &status.results,
        manifest_url: status.manifest_url.as_deref(),
        failures: &status.failures,
        interruptions: status.interruptions.unwrap_or_default(),
        retries: status.retries.unwrap_or_default(),
        cost: status.cost.as_ref(),
        links: Links {
            events: format!("{this}/events"),
            cancel: format!("{this}/cancel"),
            results: format!("{this}/results"),
            this,
        },
    }
}
