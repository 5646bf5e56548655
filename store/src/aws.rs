//! How the AWS SDK is set up and what its errors say: for the bucket, and for whoever talks to other services of AWS.

use std::{error::Error as StdError, time::Duration};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, environment::EnvironmentVariableRegionProvider,
    meta::region::RegionProviderChain, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_http_client::tls;

use crate::{Keys, Result, credentials::Clean, output};

pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A second attempt hides a dropped connection; the caller decides about further ones.
const ATTEMPTS: u32 = 2;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// AWS redirects from this region to the right one; most other servers ignore the region.
const ANY_REGION: &str = "us-east-1";

/// Which server is meant, and who asks.
#[derive(Clone, Default)]
pub struct Access {
    /// The credentials. `None`: those of the SDK's own chain: environment, files, web identity, container, instance.
    pub keys: Option<Keys>,
    /// The region. `None`: that of the environment, else us-east-1.
    pub region: Option<String>,
    /// The server's URL. `None`: AWS.
    pub endpoint: Option<String>,
    /// How long one attempt of a request may take.
    pub timeout: Duration,
}

impl Access {
    /// The settings of a client. No request is sent yet.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if the keys or the region contain characters that no request can carry.
    pub async fn config(self) -> Result<SdkConfig> {
        let Self { keys, region, endpoint, timeout } = self;
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(timeout)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .timeout_config(timeouts)
            .retry_config(
                RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST_BACKOFF),
            );
        if let Some(keys) = keys {
            loader = loader.credentials_provider(keys.provider()?);
        }
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        } else if endpoint.is_some() {
            // The server is not AWS, so the SDK does not ask the instance metadata for a region, which would take
            // seconds.
            let env = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
            loader = loader.region(env.or_else(Region::from_static(ANY_REGION)));
        }
        let shared = Box::pin(loader.load()).await; // a very deep future
        let mut config = shared.to_builder();
        config = match shared.region() {
            None => config.region(Region::from_static(ANY_REGION)),
            // The SDK may have found the region in a file or a variable.
            Some(region) => config.region(Region::new(output::region(region.as_ref())?)),
        };
        if let Some(provider) = shared.credentials_provider() {
            config = config.credentials_provider(SharedCredentialsProvider::new(Clean(provider)));
        }
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        Ok(config.build())
    }
}

/// What an error of the SDK says, and the HTTP status of the answer, if there was one.
#[must_use]
pub fn answer<E>(error: &SdkError<E, HttpResponse>) -> (Option<u16>, String)
where
    E: StdError + ProvideErrorMetadata + 'static,
{
    let SdkError::ServiceError(service) = error else { return (None, causes(error)) };
    let status = service.raw().status().as_u16();
    let code = service.err().code().unwrap_or_default();
    let cause = match service.err().message() {
        Some(message) => format!("{status} {code}: {message}"),
        None => format!("{status} {code}"),
    };
    (Some(status), cause)
}

/// The error and its causes in one line; the SDK's own messages hardly say more than "dispatch failure".
pub(crate) fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut words: Vec<String> = chain(error).map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}

pub(crate) fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}
