//! `GET /jobs`: the tenant's jobs, whatever front they came by, the newest first.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
};
use crds::Time;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    refusal::Refusal,
    view::{self, Status},
};
use crate::{
    app::App,
    cache::{Job, Place, PoolKey},
    http::Mount,
    jobs::{cursor, place_at},
};

/// Jobs in one answer.
const USUAL: usize = 50;
const MOST: usize = 100;

/// What a list is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    limit: Option<usize>,
    after: Option<Place>,
    /// The labels that a job has to have, each with this value.
    labels: Vec<(String, String)>,
}

impl Asked {
    fn read(query: Vec<(String, String)>) -> Result<Self, Refusal> {
        let mut asked = Self::default();
        for (name, value) in query {
            match name.as_str() {
                "limit" => {
                    let limit = value.parse().map_err(|_| {
                        Refusal::new(422, "invalid_request", "limit is a number of jobs, from 1")
                    })?;
                    asked.limit = Some(limit);
                }
                "cursor" => {
                    let place = place_at(&value).ok_or_else(|| {
                        Refusal::new(422, "invalid_cursor", "the cursor is not one that a list gave")
                    })?;
                    asked.after = Some(place);
                }
                _ if name.starts_with("metadata") => {
                    let label = name.strip_prefix("metadata[").and_then(|name| name.strip_suffix(']'));
                    let label = label.filter(|label| !label.is_empty()).ok_or_else(|| {
                        Refusal::new(422, "invalid_metadata_filter", "write metadata[LABEL]=VALUE")
                    })?;
                    asked.labels.push((label.to_owned(), value));
                }
                // Anything else is of a later version of the API.
                _ => {}
            }
        }
        Ok(asked)
    }

    fn is_met_by(&self, job: &Job) -> bool {
        self.labels.iter().all(|(name, value)| job.request.labels.get(name) == Some(value))
    }
}

/// A job in a list.
#[derive(Serialize)]
struct Item<'a> {
    id: &'a str,
    status: Status,
    create_time: Time,
    update_time: Time,
    metadata: &'a BTreeMap<String, String>,
}

impl<'a> From<&'a Job> for Item<'a> {
    fn from(job: &'a Job) -> Self {
        let create_time = view::created(job);
        let status = &job.status;
        let later = [&status.completion_time, &status.start_time, &status.accepted_time];
        let update_time = later.into_iter().flatten().max().filter(|later| **later > create_time);
        Self {
            id: &job.name,
            status: job.state().into(),
            update_time: update_time.cloned().unwrap_or_else(|| create_time.clone()),
            create_time,
            metadata: &job.request.labels,
        }
    }
}

/// A part of the list; below a pool's path of that pool's jobs only.
pub(super) async fn list(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let caller = app.caller(&headers)?;
    let Query(query) =
        query.map_err(|rejection| Refusal::new(422, "invalid_request", rejection.body_text()))?;
    let asked = Asked::read(query)?;
    let limit = asked.limit.unwrap_or(USUAL).clamp(1, MOST);
    let wanted = |job: &Job| asked.is_met_by(job) && mount.pool.as_ref().is_none_or(|pool| is_for(job, pool));
    let page = app.cache.jobs.page(&caller.tenant, asked.after.as_ref(), limit, wanted);
    let jobs: Vec<Item<'_>> = page.jobs.iter().map(|job| Item::from(&**job)).collect();
    let mut body = json!({ "jobs": jobs });
    if let Some(next) = page.next {
        body["next_cursor"] = json!(cursor(&next));
    }
    Ok(Json(body))
}

/// Whether a job is in this pool, or waits for it.
fn is_for(job: &Job, pool: &PoolKey) -> bool {
    match (&job.status.pool, &job.pool) {
        (Some(of), _) => of.namespace == pool.namespace && of.name == pool.name,
        (None, Some(named)) => {
            named.name == pool.name && named.namespace.as_ref().unwrap_or(&job.namespace) == &pool.namespace
        }
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<Asked, Refusal> {
        Asked::read(query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn labels_of_a_query_are_in_brackets() {
        let asked =
            read(&[("metadata[a[b]]", "1"), ("metadata[c]", ""), ("limit", "3"), ("new", "x")]).unwrap();
        assert_eq!(asked.labels, [("a[b]".to_owned(), "1".to_owned()), ("c".to_owned(), String::new())]);
        assert_eq!(asked.limit, Some(3));
        for bad in ["metadata", "metadata[]", "metadata[a", "metadata.a"] {
            assert!(read(&[(bad, "x")]).is_err(), "{bad}");
        }
    }
}
