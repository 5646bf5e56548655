//! One intake: receives messages while there is room for more, and has each turned into a job.

use std::{sync::Arc, time::Duration};

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use crds::TenantIntake;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::hold;
use crate::{
    app::App,
    auth::{ApiKey, Caller, Hash, Rights},
    cache::{PoolKey, Tenant},
    http::Mount,
};

/// Messages that a replica works on or holds at once, of one queue; SQS gives out ten at most at a time.
const AT_ONCE: usize = 10;
/// A queue is asked to wait so long for messages, seconds. SQS takes up to 20; this ends while the server drains.
const LONG_POLL: i32 = 15;
/// For the answer to such a request, and for that to any other.
const RECEIVED: Duration = Duration::from_secs(40);
const ANSWER: Duration = Duration::from_secs(10);
/// Others don't see a message so long after it was received, or since that was last extended.
pub(super) const INVISIBLE: Duration = Duration::from_secs(60);
/// After a request for messages that failed: doubled each time, up to the latter.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// A queue whose messages become jobs of a tenant.
pub(super) struct Intake {
    pub(super) app: App,
    pub(super) tenant: String,
    pub(super) spec: TenantIntake,
}

impl Intake {
    pub(super) fn new(app: App, tenant: String, spec: TenantIntake) -> Arc<Self> {
        Arc::new(Self { app, tenant, spec })
    }

    /// Takes messages until it is told to stop; those that it holds then are given back.
    pub(super) async fn follow(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut held = JoinSet::new();
        let mut failures = 0;
        while !*stop.borrow() {
            while held.try_join_next().is_some() {}
            let room = AT_ONCE.saturating_sub(held.len());
            if room == 0 {
                tokio::select! {
                    _ = held.join_next() => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                }
                continue;
            }
            // Not broken off: a message that the queue gives out to nobody would stay invisible, and count as received.
            match self.receive(room).await {
                Ok(messages) => {
                    failures = 0;
                    for message in messages {
                        held.spawn(hold::settle(Arc::clone(&self), message, stop.clone()));
                    }
                }
                Err(error) => {
                    self.failed("receive", &error);
                    tokio::select! {
                        () = sleep(jittered(retry_after(failures))) => {}
                        _ = stop.wait_for(|stop| *stop) => {}
                    }
                    failures += 1;
                }
            }
        }
        while held.join_next().await.is_some() {}
    }

    async fn receive(&self, room: usize) -> Result<Vec<Message>, String> {
        let request = async {
            let client = self.app.aws.sqs(&self.spec.sqs).await?;
            let request = client
                .receive_message()
                .queue_url(&self.spec.sqs.queue_url)
                .max_number_of_messages(i32::try_from(room).unwrap_or(1))
                .wait_time_seconds(LONG_POLL)
                .visibility_timeout(seconds(INVISIBLE))
                .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
                .message_attribute_names("All");
            Box::pin(request.send()).await.map_err(|error| store::answer(&error).1)
        };
        Ok(within(RECEIVED, request).await?.messages.unwrap_or_default())
    }

    /// Has others see a message after `wait`, and not before.
    ///
    /// # Errors
    /// What the queue says against it.
    pub(super) async fn hide(&self, message: &Message, wait: Duration) -> Result<(), String> {
        let request = async {
            let client = self.app.aws.sqs(&self.spec.sqs).await?;
            let request = client
                .change_message_visibility()
                .queue_url(&self.spec.sqs.queue_url)
                .set_receipt_handle(message.receipt_handle.clone())
                .visibility_timeout(seconds(wait));
            Box::pin(request.send()).await.map(drop).map_err(|error| store::answer(&error).1)
        };
        within(ANSWER, request).await
    }

    /// Deletes a message.
    ///
    /// # Errors
    /// What the queue says against it; it gives the message out again then.
    pub(super) async fn delete(&self, message: &Message) -> Result<(), String> {
        let request = async {
            let client = self.app.aws.sqs(&self.spec.sqs).await?;
            let request = client
                .delete_message()
                .queue_url(&self.spec.sqs.queue_url)
                .set_receipt_handle(message.receipt_handle.clone());
            Box::pin(request.send()).await.map(drop).map_err(|error| store::answer(&error).1)
        };
        within(ANSWER, request).await
    }

    /// Counts and logs a request to the queue that failed.
    pub(super) fn failed(&self, action: &'static str, error: &str) {
        self.app.metrics.sqs_errors.with_label_values(&[action]).inc();
        let Self { tenant, spec: TenantIntake { name, sqs, .. }, .. } = self;
        tracing::warn!(
            tenant,
            intake = name,
            queue = sqs.queue_url,
            action,
            error,
            "a queue does not do what it is asked"
        );
    }

    /// The tenant as a caller; `None` when it is gone or disabled.
    pub(super) fn caller(&self) -> Option<Caller> {
        let tenant = self.app.cache.tenants.get(&self.tenant).filter(|tenant| !tenant.spec.disabled)?;
        let key = ApiKey {
            name: format!("{}.{}", super::FRONT, self.spec.name),
            tenant: Some(self.tenant.clone()),
            rights: Rights::Use,
            // Of no text: nobody can send this key.
            hash: Hash::default(),
        };
        Some(Caller { tenant, key: Arc::new(key), until: None })
    }

    /// The pool of jobs that name none.
    pub(super) fn mount(&self, tenant: &Tenant) -> Mount {
        let pool =
            self.spec.pool_ref.as_ref().map(|pool| {
                PoolKey::new(pool.namespace.as_ref().unwrap_or(&tenant.spec.namespace), &pool.name)
            });
        Mount { pool }
    }
}

async fn within<T>(limit: Duration, answer: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    timeout(limit, answer).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

fn retry_after(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << failures.min(6)).min(LAST_RETRY)
}

/// Up to a quarter longer, so that replicas and messages do not go on all at once.
pub(super) fn jittered(wait: Duration) -> Duration {
    wait + wait * u32::from(Uuid::new_v4().as_bytes()[0]) / (4 * 255)
}

fn seconds(wait: Duration) -> i32 {
    i32::try_from(wait.as_secs()).unwrap_or(i32::MAX)
}
