//! `/v1/jobs/{id}/retry`: the images that a job could not make are asked for again, in jobs of their own.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use crds::{ImageJob, Work};
use serde_json::{Map, Value, json, value::RawValue};

use super::{FRONT, problem::Problem, view};
use crate::{
    app::App,
    auth::Caller,
    cache::{Job, State as JobState},
    error::Error,
    jobs::{IdempotencyKey, Submission},
};

/// What of a spec is the old job's own.
const OWN: [&str; 4] = ["tenant", "cancel", "suspend", "count"];

/// Asks for the failed images again: for those that follow one another in one job, with the seeds that they had. The same
/// request again gets the same jobs.
pub(crate) async fn retry(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let retried = async {
        let caller = app.caller(&headers)?;
        failed_again(&app, &caller, &id, FRONT).await
    };
    let jobs = retried.await.map_err(|error| app.problem(error))?;
    let text = |job: &Arc<Job>| String::from_utf8(view::json(&app, job).to_vec()).unwrap_or_default();
    let jobs: Vec<Box<RawValue>> =
        jobs.iter().filter_map(|job| RawValue::from_string(text(job)).ok()).collect();
    Ok((StatusCode::CREATED, Json(json!({ "jobs": jobs }))))
}

/// Asks for a job's failed images again, for a request that came by `front`; returns the new jobs.
///
/// # Errors
/// [`Error::Invalid`] of a job that did not fail or whose failed images can't be asked for again; else as [`App::submit`].
pub(crate) async fn failed_again(
    app: &App,
    caller: &Caller,
    id: &str,
    front: &'static str,
) -> Result<Vec<Arc<Job>>, Error> {
    let job = app.jobs.get(&caller.tenant, id).await?;
    let ranges = failed(&job)?;
    let whole = app.jobs.whole(&caller.tenant, id).await?;
    let mut jobs = vec![];
    for (first, count) in ranges {
        let order = Submission {
            spec: spec_of(&whole, &job, first, count)?,
            labels: job.request.labels.clone(),
            webhook: job.request.webhook.clone(),
            front,
            key: Some(IdempotencyKey::parse(&format!("retry {id} {first}"))?),
            kept: if job.front.as_deref() == Some(front) { job.request.front.clone() } else { Map::new() },
            ..Submission::default()
        };
        jobs.push(app.submit(caller, order).await?.job);
    }
    Ok(jobs)
}

/// The failed images as ranges: the first one's number, and how many.
fn failed(job: &Job) -> Result<Vec<(u32, u32)>, Error> {
    let refuse = |why: &str| Err(Error::invalid("", why));
    if job.state() != JobState::Failed {
        return refuse("only a job that has failed can be asked for again");
    }
    let made = job.status.counts.unwrap_or_default().succeeded;
    if made == 0 {
        return Ok(vec![(0, job.count)]);
    }
    let listed = &job.status.failures;
    if listed.len() != (job.count - made.min(job.count)) as usize {
        return refuse(
            "the job does not list all of its failed images; ask for those that are missing in a job of their own",
        );
    }
    let mut ranges: Vec<(u32, u32)> = vec![];
    let mut indexes: Vec<u32> = listed.iter().map(|failure| failure.index).collect();
    indexes.sort_unstable();
    for index in indexes {
        match ranges.last_mut() {
            Some((first, count)) if *first + *count == index => *count += 1,
            _ => ranges.push((index, 1)),
        }
    }
    Ok(ranges)
}

fn spec_of(whole: &ImageJob, job: &Job, first: u32, count: u32) -> Result<Map<String, Value>, Error> {
    let mut whole_spec = whole.spec.clone();
    if (first, count) != (0, job.count) {
        count_up(&mut whole_spec.work, job, first)?;
    }
    let value = serde_json::to_value(&whole_spec).map_err(|error| Error::Internal(error.to_string()))?;
    let Value::Object(mut spec) = value else {
        return Err(Error::Internal("a spec that is no object".to_owned()));
    };
    spec.retain(|name, _| !OWN.contains(&name.as_str()));
    spec.insert("count".to_owned(), json!(count));
    Ok(spec)
}

/// Image i of the old job is image 0 of the new one.
fn count_up(work: &mut Work, job: &Job, first: u32) -> Result<(), Error> {
    let sampling = match (&mut work.text_to_image, &mut work.image_to_image) {
        (Some(text), _) => &mut text.sampling,
        (_, Some(image)) => &mut image.sampling,
        _ => {
            let why = "single images of workflows and recipes can't be asked for again; create a job with their seeds";
            return Err(Error::invalid("", why));
        }
    };
    let seed = job.status.seed.or(sampling.seed).unwrap_or_default();
    sampling.seed = Some(seed.wrapping_add(first.into()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(count: u32, made: u32, failed: &[u32]) -> Job {
        let failures: Vec<Value> = failed
            .iter()
            .map(|index| json!({"index": index, "reason": "r", "message": "m", "attempts": 3}))
            .collect();
        let status = json!({"counts": {"total": count, "waiting": 0, "running": 0, "succeeded": made, "failed": failed.len()}, "failures": failures, "seed": 42});
        Job {
            count,
            state: Some(JobState::Failed),
            status: serde_json::from_value(status).unwrap(),
            ..Job::default()
        }
    }

    #[test]
    fn images_that_follow_one_another_are_one_job() {
        assert_eq!(failed(&job(4, 0, &[0])), Ok(vec![(0, 4)]), "none was made, so all are asked for");
        assert_eq!(failed(&job(9, 4, &[7, 1, 2, 8, 5])), Ok(vec![(1, 2), (5, 1), (7, 2)]));
        assert!(failed(&job(50, 10, &[1, 2, 3])).is_err(), "not all are listed");
        assert!(failed(&Job { state: Some(JobState::Running), ..job(4, 0, &[]) }).is_err());
    }
}
