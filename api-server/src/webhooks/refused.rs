//! The event `refused`: a message of an intake that cannot become a job. It has no job, so the ledger keeps it under the
//! message's own id; a message that comes again is told once.

use serde_json::json;
use uuid::Uuid;

use super::{MESSAGES, Receiver, Webhooks, event, ledger::Message, now_ms};
use crate::{cache::Tenant, own::Problem};

/// The event's name.
const REFUSED: &str = "refused";

/// What is wrong quotes the message, which may be long; so many characters of it are told then.
const SHOWN: usize = 1000;

/// A message that was refused.
#[derive(Debug)]
pub(crate) struct Refusal<'a> {
    /// The intake that it came by.
    pub(crate) intake: &'a str,
    /// Its id on the queue.
    pub(crate) message_id: &'a str,
    pub(crate) idempotency_key: Option<&'a str>,
    pub(crate) problem: &'a Problem,
}

impl Webhooks {
    /// Adds what the tenant is to be told of a message that was refused.
    pub(crate) async fn note_refused(&self, tenant: &Tenant, refusal: &Refusal<'_>) -> queue::Result<()> {
        let Refusal { intake, message_id, idempotency_key, problem } = refusal;
        let mut body = json!({
            "type": format!("job.{REFUSED}"),
            "timestamp": jiff::Timestamp::now().to_string(),
            "data": {
                "intake": intake,
                "messageId": message_id,
                "idempotencyKey": idempotency_key,
                "problem": problem.body(),
            },
        });
        if body.to_string().len() > event::LONGEST {
            let detail = problem.error.to_string();
            body["data"]["problem"]["detail"] = detail.chars().take(SHOWN).collect::<String>().into();
            body["data"]["problem"]["errors"] = json!([]);
        }
        let wanted = tenant.spec.webhooks.iter().filter(|hook| event::is_wanted(&hook.events, REFUSED));
        for receiver in wanted.filter_map(Receiver::of) {
            let text = format!("sqs\0{message_id}\0{}\0{REFUSED}", receiver.address());
            let message = Message {
                id: format!("msg_{}", Uuid::new_v5(&MESSAGES, text.as_bytes()).simple()),
                receiver,
                body: body.to_string(),
                event: REFUSED.to_owned(),
                tenant: tenant.name.to_string(),
                uid: format!("sqs-{message_id}"),
                ..Message::default()
            };
            if !self.ledger.is_disabled(&tenant.name, message.receiver.address()).await? {
                self.ledger.add(&message, now_ms()).await?;
            }
        }
        Ok(())
    }
}
