//! What a request asks for: `{"input": {…}, "webhook", "policy"}`.

use serde_json::{Map, Value, json};

use super::{endpoint::Endpoint, images};
use crate::{
    app::App, error::Error, fields::Fields, jobs::workflow_spec, picture::PictureOrder, webhooks::Webhook,
};

/// Pictures of one request: a job lists so many.
const MOST: u32 = 100;
/// 2^63.
const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;
/// The longest time that an image may take, in seconds.
const LONGEST_SECONDS: f64 = 86_400.0;

/// A job that is asked for.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) spec: Map<String, Value>,
    /// Where its end is to be told.
    pub(super) webhook: Option<Webhook>,
    /// The fields of the input that have no effect.
    pub(super) ignored: Vec<String>,
}

impl Order {
    pub(super) async fn of_body(
        app: &App,
        endpoint: &Endpoint,
        body: Map<String, Value>,
    ) -> Result<Self, Error> {
        let mut body = Fields::new(body);
        let webhook = webhook(&mut body)?;
        let timeout = timeout_seconds(&mut body)?;
        let input = match body.take(&["input"])? {
            Some((_, Value::Object(input))) if !input.is_empty() => input,
            _ => return Err(Error::invalid("/input", "it must be an object that says what to make")),
        };
        let mut input = Fields::new(input);
        let mut spec = match input.take(&["workflow"])? {
            Some((_, workflow)) => {
                let mut spec = of_workflow(workflow)?;
                if let Some((_, images)) = input.take(&["images"])? {
                    images::hand_in(app, endpoint, &images, &mut spec).await?;
                }
                spec
            }
            None => of_picture(app, endpoint, &mut input)?,
        };
        if let Some(seconds) = timeout {
            spec.insert("timeoutSeconds".to_owned(), json!(seconds));
        }
        Ok(Self { spec, webhook, ignored: input.names().map(str::to_owned).collect() })
    }
}

fn of_workflow(workflow: Value) -> Result<Map<String, Value>, Error> {
    let Value::Object(graph) = workflow else {
        return Err(Error::invalid("/input/workflow", "it must be a workflow in the engine's API format"));
    };
    if let Some(node) = graph.iter().find(|(_, node)| has_too_large(node)).map(|(id, _)| id) {
        let detail = "a whole number above 2^63 - 1 would not be kept exactly";
        return Err(Error::invalid(format!("/input/workflow/{node}"), detail));
    }
    Ok(workflow_spec(graph, vec![]))
}

/// The cluster's API server makes a float of it. What has more than 64 bits is one already.
fn has_too_large(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.as_i64().is_none() && number.as_f64().is_some_and(|number| number.abs() >= TOO_LARGE)
        }
        Value::Array(items) => items.iter().any(has_too_large),
        Value::Object(fields) => fields.values().any(has_too_large),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

fn of_picture(app: &App, endpoint: &Endpoint, input: &mut Fields) -> Result<Map<String, Value>, Error> {
    let count = input.whole(&["num_images", "num_outputs", "batch_size"])?.unwrap_or(1);
    if !(1..=MOST).contains(&count) {
        return Err(Error::invalid("/input/num_images", format!("it is 1 to {MOST}")));
    }
    let order = PictureOrder {
        model: input.filled_text(&["model"])?,
        width: input.whole(&["width"])?,
        height: input.whole(&["height"])?,
        count,
        ..PictureOrder::of_fields(input)?
    };
    if order.prompt.is_empty() {
        return Err(Error::invalid("/input", "give a workflow, or a prompt"));
    }
    order.spec(app, &endpoint.caller.tenant, &endpoint.mount())
}

fn webhook(body: &mut Fields) -> Result<Option<Webhook>, Error> {
    const ENDS: [&str; 3] = ["completed", "failed", "cancelled"];
    let url = body.filled_text(&["webhook"])?;
    Ok(url.map(|url| Webhook { url, events: ENDS.map(str::to_owned).to_vec() }))
}

/// How long an image may take. The policy's `ttl` has no counterpart: a job is kept until somebody cancels it, and a due time
/// later than its class's would only let it wait longer.
fn timeout_seconds(body: &mut Fields) -> Result<Option<u32>, Error> {
    let Some((_, policy)) = body.take(&["policy"])? else { return Ok(None) };
    let Some(milliseconds) = policy["executionTimeout"].as_f64() else { return Ok(None) };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within the bounds of an ImageJob"
    )]
    let seconds = (milliseconds / 1000.0).ceil().clamp(1.0, LONGEST_SECONDS) as u32;
    Ok(Some(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_becomes_the_work_of_a_job() {
        let graph = json!({"3": {"class_type": "KSampler", "inputs": {"seed": 5}}});
        let spec = of_workflow(graph.clone()).unwrap();
        assert_eq!(Value::Object(spec), json!({"work": {"type": "Workflow", "workflow": {"graph": graph}}}));
        for large in [json!(i64::MAX as u64 + 1), json!([u64::MAX]), json!(1e19), json!(-1e19)] {
            let graph = json!({"3": {"class_type": "KSampler", "inputs": {"cfg": 7.5, "seed": large}}});
            let Err(Error::Invalid(faults)) = of_workflow(graph) else { panic!("{large}") };
            assert_eq!(faults[0].pointer, "/input/workflow/3");
        }
        assert!(of_workflow(json!([])).is_err());
    }

    #[test]
    fn an_images_time_is_told_in_milliseconds() {
        for (policy, seconds) in [
            (json!({"executionTimeout": 5500}), Some(6)),
            (json!({"executionTimeout": 1}), Some(1)),
            (json!({"executionTimeout": 1e15}), Some(86_400)),
            (json!({"ttl": 5000}), None),
        ] {
            let body = Map::from_iter([("policy".to_owned(), policy.clone())]);
            assert_eq!(timeout_seconds(&mut Fields::new(body)), Ok(seconds), "{policy}");
        }
    }
}
