//! `/sdapi/v1/txt2img` and `/sdapi/v1/img2img`.

use axum::{
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
    response::Response,
};
use bytes::Bytes;

use super::{FRONT, answer, error::Refusal, order::Order, start::Start};
use crate::{
    app::App,
    auth::Caller,
    http::{Mount, body, held, tell_ignored},
    jobs::{Submission, Submitted},
    outcome::{self, NotMade, USUAL_WAIT},
};

/// Pictures from a text. The answer comes when they are made.
pub(crate) async fn text_to_image(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers)?;
    let order = Order::of_body(body::json_with_pictures(body)?)?;
    make(app, caller, &mount, order).await
}

/// Pictures from a picture and a text. They are as large as it is.
pub(crate) async fn image_to_image(
    State(app): State<App>,
    mount: Mount,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let caller = app.caller(&headers)?;
    let mut body = body::json_with_pictures(body)?;
    let start = Start::of_body(&mut body)?;
    let mut order = Order::of_body(body)?;
    start.hand_in(&app, &caller, &mount, &mut order.picture).await?;
    make(app, caller, &mount, order).await
}

async fn make(app: App, caller: Caller, mount: &Mount, order: Order) -> Result<Response, Refusal> {
    let spec = order.picture.spec(&app, &caller.tenant, mount)?;
    let submission = Submission { spec, pool: mount.pool.clone(), front: FRONT, ..Submission::default() };
    let Submitted { job, .. } = app.submit(&caller, submission).await?;
    let mut told = HeaderMap::new();
    tell_ignored(&mut told, order.ignored.iter().map(String::as_str));
    let answer = async move {
        let made = match outcome::wait(&app, &caller, job, USUAL_WAIT).await {
            // Who interrupts gets what is made.
            Err(NotMade::Cancelled(job)) => job,
            made => made?,
        };
        answer::pictures(&app, &made, &order).await
    };
    Ok(held(told, Box::pin(answer)).await)
}
