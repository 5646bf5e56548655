//! What a message asks for.

use aws_sdk_sqs::types::Message;
use serde_json::{Map, Value};

use super::{FRONT, intake::Intake};
use crate::{
    auth::Caller,
    error::Error,
    http::body,
    jobs::{IdempotencyKey, Submission},
    own,
};

/// The attribute with the key by which messages that come again are told.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The Idempotency-Key that the sender gave.
pub(super) fn given_key(message: &Message) -> Option<&str> {
    let attributes = message.message_attributes.as_ref()?;
    let (_, value) = attributes.iter().find(|(name, _)| name.eq_ignore_ascii_case(IDEMPOTENCY_KEY))?;
    Some(value.string_value().unwrap_or_default())
}

/// The message's body as what is submitted. Without an Idempotency-Key its id is the key, which stays the same when the queue
/// gives the message out again.
pub(super) async fn submission(
    intake: &Intake,
    caller: &Caller,
    message: &Message,
) -> Result<Submission, Error> {
    let key = given_key(message).or(message.message_id()).unwrap_or_default();
    let key = IdempotencyKey::parse(key)?;
    let spec: Map<String, Value> = body::parsed(message.body().unwrap_or_default().as_bytes())?;
    let mount = intake.mount(&caller.tenant);
    let submission = own::submission(&intake.app, caller, mount, spec).await?;
    Ok(Submission { key: Some(key), front: FRONT, ..submission })
}
