//! Who is told: a URL, a queue of SQS or a topic of SNS.

use crds::{SnsTopic, SqsQueue, TenantWebhook};
use serde::{Deserialize, Serialize};

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Receiver {
    Url(String),
    Sqs(SqsQueue),
    Sns(SnsTopic),
}

impl Default for Receiver {
    fn default() -> Self {
        Self::Url(String::new())
    }
}

impl Receiver {
    /// That of a tenant's webhook; it names exactly one, as the API server has checked.
    pub(super) fn of(hook: &TenantWebhook) -> Option<Self> {
        let TenantWebhook { url, sqs, sns, .. } = hook;
        let url = url.clone().map(Self::Url);
        url.or_else(|| sqs.clone().map(Self::Sqs)).or_else(|| sns.clone().map(Self::Sns))
    }

    /// What tells it from others, also for people.
    pub(super) fn address(&self) -> &str {
        match self {
            Self::Url(url) => url,
            Self::Sqs(queue) => &queue.queue_url,
            Self::Sns(topic) => &topic.topic_arn,
        }
    }
}
