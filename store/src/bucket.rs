use std::{collections::HashMap, sync::Arc, time::Duration};

use aws_config::{
    BehaviorVersion, Region, environment::EnvironmentVariableRegionProvider,
    meta::region::RegionProviderChain, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_s3::{
    Client,
    config::{RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider},
    operation::get_object::GetObjectOutput,
    primitives::ByteStream,
    types::ChecksumAlgorithm,
};
use aws_smithy_http_client::tls;
use bytes::Bytes;
use tokio::sync::watch;

use crate::{Abilities, Conditions, Error, ImageFacts, Keys, Output, Place, Result, credentials::Clean};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// One quick second try hides a dropped connection; anything longer is the caller's to see and decide.
const ATTEMPTS: u32 = 2;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// An image's key never gets another content, so caches may keep it for good.
const IMAGE_CACHE: &str = "public, max-age=31536000, immutable";
const IMAGE_TYPE: &str = "image/png";
/// A manifest grows while its job runs.
const MANIFEST_CACHE: &str = "no-cache";
/// AWS redirects from here, and others mostly do not care.
const ANY_REGION: &str = "us-east-1";
/// A key that no image has, read to see whether the bucket answers.
const PROBE: &str = ".probe";

/// One bucket, with our rights to it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) client: Client,
    /// For servers that refuse checksums.
    plain: Client,
    pub(crate) output: Output,
    /// Shared by all clones.
    pub(crate) abilities: Arc<watch::Sender<Abilities>>,
}

/// What is written, and how it is served.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) content_type: &'static str,
    pub(crate) cache: &'static str,
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its key.
    pub key: String,
    /// The store's tag of its content, without quotes.
    pub etag: String,
    /// Its size.
    pub bytes: u64,
    /// What it says of itself; `None` if it is not an image we put there.
    pub facts: Option<ImageFacts>,
}

/// What came of a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It is there now.
    Created {
        /// The store's tag of its content, without quotes.
        etag: String,
    },
    /// It was there before, from another attempt, and was left as it is.
    Existed(Found),
}

impl Store {
    /// Sets up a bucket with credentials from the SDK's own chain: environment, files, web identity, container,
    /// instance. Sends nothing yet; see [`Store::check`].
    pub async fn open(output: &Output) -> Result<Self> {
        Self::open_with(output, None).await
    }

    /// Sets up a bucket with the keys given.
    pub async fn open_with_keys(output: &Output, keys: Keys) -> Result<Self> {
        Self::open_with(output, Some(keys.provider()?)).await
    }

    async fn open_with(output: &Output, keys: Option<SharedCredentialsProvider>) -> Result<Self> {
        let output = output.clean()?;
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(output.request_timeout)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .timeout_config(timeouts)
            .retry_config(
                RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST_BACKOFF),
            );
        if let Some(keys) = keys {
            loader = loader.credentials_provider(keys);
        }
        if let Some(region) = &output.region {
            loader = loader.region(Region::new(region.clone()));
        } else if output.endpoint.is_some() {
            // Not AWS: no instance metadata to ask for a region, which takes seconds where there is none.
            let env = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
            loader = loader.region(env.or_else(Region::from_static(ANY_REGION)));
        }
        let shared = Box::pin(loader.load()).await; // a very deep future
        let mut config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(output.path_style);
        match shared.region() {
            None => config = config.region(Region::from_static(ANY_REGION)),
            // The SDK may have found it in a file or a variable.
            Some(region) => config = config.region(Region::new(crate::output::region(region.as_ref())?)),
        }
        if let Some(provider) = shared.credentials_provider() {
            config = config.credentials_provider(SharedCredentialsProvider::new(Clean(provider)));
        }
        if let Some(endpoint) = &output.endpoint {
            config = config.endpoint_url(endpoint);
        }
        let plain = config
            .clone()
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        Ok(Self {
            client: Client::from_conf(config.build()),
            plain: Client::from_conf(plain.build()),
            output,
            abilities: Arc::new(watch::Sender::new(Abilities::default())),
        })
    }

    /// Where this store is; gives keys and URLs.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Does the bucket answer us? Rights to write show at the first put.
    pub async fn check(&self) -> Result<()> {
        let probe = format!("{}{PROBE}", self.output.key_prefix);
        match self.get(&probe).await {
            Ok(_) => return Ok(()),
            // Valid credentials that may not list are told AccessDenied for a missing key.
            Err(Error::Denied { code, .. }) if code == "AccessDenied" => return Ok(()),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        // The answer to a GET has a body that tells wrong credentials from missing rights; but not every server
        // minds the bucket in it.
        match Box::pin(self.client.head_bucket().bucket(&self.output.bucket).send()).await {
            Ok(_) => Ok(()),
            Err(error) => match Error::sorted(self.place(&probe), &error) {
                Error::NotFound { at } => Err(Error::NoSuchBucket { at }),
                Error::Denied { .. } => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Stores an image, unless there is one under this key already. Where the server can't see to that, it is looked
    /// for first, which leaves a moment in which two writers may both write.
    pub async fn put_image(&self, key: &str, png: Bytes, facts: &ImageFacts) -> Result<Put> {
        let body = Body { bytes: png, content_type: IMAGE_TYPE, cache: IMAGE_CACHE };
        let abilities = self.abilities();
        if abilities.conditions != Conditions::Kept {
            match self.head(key).await {
                Ok(found) => return Ok(Put::Existed(found)),
                Err(Error::NotFound { .. } | Error::Denied { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let only_new = abilities.conditions != Conditions::Unsupported;
        match self.put(key, body.clone(), facts.to_metadata(), only_new, abilities).await {
            Err(Error::Exists { .. }) => Ok(Put::Existed(self.head(key).await?)),
            // Found out before it was probed for; the same picture may then be written twice.
            Err(Error::Unsupported { .. }) if only_new => {
                let etag = self.put(key, body, facts.to_metadata(), false, abilities).await?;
                Ok(Put::Created { etag })
            }
            sent => Ok(Put::Created { etag: sent? }),
        }
    }

    pub(crate) async fn put(
        &self,
        key: &str,
        body: Body,
        metadata: HashMap<String, String>,
        only_new: bool,
        abilities: Abilities,
    ) -> Result<String> {
        let Body { bytes, content_type, cache } = body;
        let client = if abilities.checksums { &self.client } else { &self.plain };
        let put = client
            .put_object()
            .bucket(&self.output.bucket)
            .key(key)
            .body(ByteStream::from(bytes))
            .set_checksum_algorithm(abilities.checksums.then_some(ChecksumAlgorithm::Crc32))
            .content_type(content_type)
            .cache_control(cache)
            .set_metadata(Some(metadata))
            .set_if_none_match(only_new.then(|| "*".to_owned()));
        // The SDK's futures are very large.
        let sent = Box::pin(put.send()).await.map_err(|error| Error::sorted(self.place(key), &error))?;
        Ok(unquoted(sent.e_tag()))
    }

    /// Writes a JSON text, such as a job's manifest, over any earlier one. Returns the store's tag of it.
    pub async fn put_json(&self, key: &str, json: Bytes) -> Result<String> {
        let body = Body { bytes: json, content_type: "application/json", cache: MANIFEST_CACHE };
        self.put(key, body, HashMap::new(), false, self.abilities()).await
    }

    /// What there is under a key. Credentials that may not list get [`Error::Denied`] for a missing key.
    pub async fn head(&self, key: &str) -> Result<Found> {
        let head = Box::pin(self.client.head_object().bucket(&self.output.bucket).key(key).send()).await;
        let head = head.map_err(|error| Error::sorted(self.place(key), &error))?;
        Ok(Found {
            key: key.to_owned(),
            etag: unquoted(head.e_tag()),
            bytes: head.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
            facts: ImageFacts::from_metadata(head.metadata().unwrap_or(&HashMap::new())),
        })
    }

    /// An object's content, checked against its checksum.
    pub async fn get(&self, key: &str) -> Result<Bytes> {
        let object = Box::pin(self.client.get_object().bucket(&self.output.bucket).key(key).send()).await;
        self.body_of(key, object.map_err(|error| Error::sorted(self.place(key), &error))?).await
    }

    pub(crate) async fn body_of(&self, key: &str, object: GetObjectOutput) -> Result<Bytes> {
        match object.body.collect().await {
            Ok(body) => Ok(body.into_bytes()),
            Err(error) => Err(Error::Unavailable { at: self.place(key), cause: error.to_string() }),
        }
    }

    /// Deletes an object; one that is not there is fine.
    pub async fn delete(&self, key: &str) -> Result<()> {
        let sent = Box::pin(self.client.delete_object().bucket(&self.output.bucket).key(key).send()).await;
        match sent.map_err(|error| Error::sorted(self.place(key), &error)) {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn place(&self, key: &str) -> Place {
        Place {
            endpoint: self.output.endpoint.clone().unwrap_or_else(|| "AWS".into()),
            bucket: self.output.bucket.clone(),
            key: key.to_owned(),
        }
    }
}

fn unquoted(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}
