//! Clients of Amazon SQS and SNS for the queues and topics of tenants, with the tenants' own credentials.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_config::SdkConfig;
use crds::{CredentialsRef, SnsTopic, SqsQueue};
use kube::Client;
use reqwest::Url;
use store::Access;

use crate::credentials;

/// Credentials are read again after so long: they may have been replaced.
const KEPT: Duration = Duration::from_secs(300);
/// For an attempt of a request: longer than a queue is asked to wait for messages.
const ATTEMPT: Duration = Duration::from_secs(30);

/// Where requests go, and who sends them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    endpoint: Option<String>,
    region: Option<String>,
    secret: Option<String>,
}

/// Settings by place, and since when.
type Open = HashMap<Place, (Instant, SdkConfig)>;

/// The clients. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Aws {
    client: Client,
    /// Of ImageTenants, and so of the Secrets that they name.
    namespace: Arc<str>,
    open: Arc<Mutex<Open>>,
}

impl Aws {
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.into(), open: Arc::default() }
    }

    /// A client for a queue. Its URL says where requests go: AWS, a VPC endpoint, or another server.
    ///
    /// # Errors
    /// Why there is none, for the administrator.
    pub(crate) async fn sqs(&self, queue: &SqsQueue) -> Result<aws_sdk_sqs::Client, String> {
        let SqsQueue { queue_url, region, credentials_secret_ref } = queue;
        let url = Url::parse(queue_url).map_err(|error| format!("queueURL can't be read: {error}"))?;
        let region = region.clone().or_else(|| region_of(url.host_str().unwrap_or_default()));
        let endpoint = Some(url.origin().ascii_serialization());
        let config = self.config(Place { endpoint, region, secret: name(credentials_secret_ref) }).await?;
        Ok(aws_sdk_sqs::Client::new(&config))
    }

    /// A client for a topic.
    ///
    /// # Errors
    /// Why there is none, for the administrator.
    pub(crate) async fn sns(&self, topic: &SnsTopic) -> Result<aws_sdk_sns::Client, String> {
        let SnsTopic { topic_arn, endpoint, credentials_secret_ref } = topic;
        // arn:aws:sns:REGION:ACCOUNT:NAME
        let region = topic_arn.split(':').nth(3).map(str::to_owned);
        let place = Place { endpoint: endpoint.clone(), region, secret: name(credentials_secret_ref) };
        Ok(aws_sdk_sns::Client::new(&self.config(place).await?))
    }

    async fn config(&self, place: Place) -> Result<SdkConfig, String> {
        let lock = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, config)) = lock().get(&place)
            && since.elapsed() < KEPT
        {
            return Ok(config.clone());
        }
        let keys = match &place.secret {
            Some(secret) => Some(credentials::keys(&self.client, &self.namespace, secret).await?),
            None => None,
        };
        let Place { endpoint, region, .. } = place.clone();
        let access = Access { keys, region, endpoint, timeout: ATTEMPT };
        let config = Box::pin(access.config()).await.map_err(|error| error.to_string())?;
        let mut open = lock();
        open.retain(|_, (since, _)| since.elapsed() < KEPT);
        open.insert(place, (Instant::now(), config.clone()));
        Ok(config)
    }
}

fn name(secret: &Option<CredentialsRef>) -> Option<String> {
    secret.as_ref().map(|secret| secret.name.clone())
}

/// The region that a host of SQS names: `sqs.REGION.amazonaws.com`, `sqs-fips.REGION.amazonaws.com`,
/// `ID.sqs.REGION.vpce.amazonaws.com`.
fn region_of(host: &str) -> Option<String> {
    let mut parts = host.split('.').skip_while(|part| !matches!(*part, "sqs" | "sqs-fips")).skip(1);
    let region = parts.next()?;
    parts.next().map(|_| region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queues_host_names_its_region() {
        for (host, region) in [
            ("sqs.eu-central-1.amazonaws.com", Some("eu-central-1")),
            ("sqs.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("sqs-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("vpce-0a-1b.sqs.us-east-2.vpce.amazonaws.com", Some("us-east-2")),
            ("sqs.us-east-1.localhost.localstack.cloud", Some("us-east-1")),
            ("127.0.0.1", None),
            ("elasticmq", None),
            ("sqs.local", None),
        ] {
            assert_eq!(region_of(host).as_deref(), region, "{host}");
        }
    }
}
