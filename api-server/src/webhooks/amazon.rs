//! One attempt to send a message to a queue of SQS or a topic of SNS. Their servers are those that the ImageTenant names,
//! which administrators write, so any address is allowed.

use std::time::Duration;

use aws_sdk_sns::types::MessageAttributeValue as SnsAttribute;
use aws_sdk_sqs::types::MessageAttributeValue as SqsAttribute;
use crds::{SnsTopic, SqsQueue};
use tokio::time::timeout;

use super::{ledger::Message, send::Attempt};
use crate::aws::Aws;

/// For an attempt as a whole.
const WITHIN: Duration = Duration::from_secs(20);
/// The attributes of a message: its id, the same on every attempt, and its type, e.g. `job.completed`, for filters.
const ID: &str = "webhook-id";
const TYPE: &str = "type";
const STRING: &str = "String";
/// What the names of queues and topics that keep an order end with.
const FIFO: &str = ".fifo";
/// What AWS answers that has taken a message.
const TAKEN: u16 = 200;

/// Sends it to a queue.
pub(super) async fn to_queue(aws: &Aws, queue: &SqsQueue, message: &Message) -> Attempt {
    let sent = async {
        let client = aws.sqs(queue).await.map_err(|why| (None, why))?;
        let is_fifo = queue.queue_url.ends_with(FIFO);
        let text = |value: String| {
            let attribute = SqsAttribute::builder().data_type(STRING).string_value(value).build();
            attribute.map_err(|error| (None, error.to_string()))
        };
        let request = client
            .send_message()
            .queue_url(&queue.queue_url)
            .message_body(&message.body)
            .message_attributes(ID, text(message.id.clone())?)
            .message_attributes(TYPE, text(kind(message))?)
            .set_message_group_id(is_fifo.then(|| group(message)))
            .set_message_deduplication_id(is_fifo.then(|| message.id.clone()));
        let answer = Box::pin(request.send()).await.map_err(|error| store::answer(&error))?;
        Ok(answer.message_id().unwrap_or_default().to_owned())
    };
    attempt(sent).await
}

/// Publishes it to a topic.
pub(super) async fn to_topic(aws: &Aws, topic: &SnsTopic, message: &Message) -> Attempt {
    let sent = async {
        let client = aws.sns(topic).await.map_err(|why| (None, why))?;
        let is_fifo = topic.topic_arn.ends_with(FIFO);
        let text = |value: String| {
            let attribute = SnsAttribute::builder().data_type(STRING).string_value(value).build();
            attribute.map_err(|error| (None, error.to_string()))
        };
        let request = client
            .publish()
            .topic_arn(&topic.topic_arn)
            .message(&message.body)
            .message_attributes(ID, text(message.id.clone())?)
            .message_attributes(TYPE, text(kind(message))?)
            .set_message_group_id(is_fifo.then(|| group(message)))
            .set_message_deduplication_id(is_fifo.then(|| message.id.clone()));
        let answer = Box::pin(request.send()).await.map_err(|error| store::answer(&error))?;
        Ok(answer.message_id().unwrap_or_default().to_owned())
    };
    attempt(sent).await
}

async fn attempt(sent: impl Future<Output = Result<String, (Option<u16>, String)>>) -> Attempt {
    let late = |_| Err((None, format!("no answer within {} s", WITHIN.as_secs())));
    match timeout(WITHIN, sent).await.unwrap_or_else(late) {
        Ok(id) => Attempt { status: Some(TAKEN), said: format!("MessageId {id}"), retry_after: None },
        Err((status, said)) => Attempt { status, said, retry_after: None },
    }
}

fn kind(message: &Message) -> String {
    format!("job.{}", message.event)
}

/// Messages of one job are a group.
fn group(message: &Message) -> String {
    if message.job.is_empty() { message.uid.clone() } else { message.job.clone() }
}
