//! `/v1/usage`: what a tenant used, day by day.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use crate::{app::App, error::Error};

/// So many days are kept.
const MOST_DAYS: usize = 40;
const USUAL_DAYS: i32 = 6;

/// The days that are asked for, in UTC.
#[derive(Deserialize)]
pub(crate) struct Days {
    from: Option<Date>,
    to: Option<Date>,
}

/// Jobs, images and cost of the tenant and of each of its keys. A job counts on the day that it was created.
pub(crate) async fn usage(
    State(app): State<App>,
    headers: HeaderMap,
    query: Result<Query<Days>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let found = async {
        let caller = app.caller(&headers)?;
        let Query(Days { from, to }) =
            query.map_err(|rejection| Error::invalid("", rejection.body_text()))?;
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let to = to.unwrap_or(today);
        let usual = || to.saturating_sub(jiff::Span::new().days(USUAL_DAYS));
        let days = from.unwrap_or_else(usual).series(jiff::Span::new().days(1)).take_while(|day| *day <= to);
        let usage = app.limits.usage(&caller.tenant.name, days.take(MOST_DAYS)).await?;
        let day =
            |(date, all, keys): &(Date, _, _)| json!({ "date": date.to_string(), "all": all, "keys": keys });
        Ok(json!({ "tenant": &*caller.tenant.name, "days": usage.iter().map(day).collect::<Vec<_>>() }))
    };
    found.await.map(Json).map_err(|error| app.problem(error))
}
