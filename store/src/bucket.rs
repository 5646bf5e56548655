use std::{collections::HashMap, time::Duration};

use aws_config::{
    BehaviorVersion, Region, environment::EnvironmentVariableRegionProvider,
    meta::region::RegionProviderChain, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_s3::{
    Client,
    config::{Credentials, SharedCredentialsProvider},
    operation::get_object::GetObjectOutput,
    presigning::PresigningConfig,
    primitives::ByteStream,
    types::ChecksumAlgorithm,
};
use aws_smithy_http_client::tls;
use bytes::Bytes;
use serde::Serialize;

use crate::{Error, ImageFacts, Manifest, Output, Place, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// One quick second try hides a dropped connection; anything longer is the caller's to see and decide.
const ATTEMPTS: u32 = 2;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// An image's key never gets another content, so caches may keep it for good.
const IMAGE_CACHE: &str = "public, max-age=31536000, immutable";
/// A manifest grows while its job runs.
const MANIFEST_CACHE: &str = "no-cache";
/// AWS redirects from here, and others mostly do not care.
const ANY_REGION: &str = "us-east-1";
/// A key that no image has, read to see whether the bucket answers us.
const PROBE: &str = ".probe";

/// One bucket, with our rights to it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) client: Client,
    pub(crate) output: Output,
}

/// Credentials given outright, where the environment's are not the ones to use.
#[derive(Clone)]
pub struct Keys {
    /// AWS_ACCESS_KEY_ID
    pub access_key_id: String,
    /// AWS_SECRET_ACCESS_KEY
    pub secret_access_key: String,
    /// AWS_SESSION_TOKEN
    pub session_token: Option<String>,
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
        let Keys { access_key_id, secret_access_key, session_token } = keys;
        let keys = Credentials::new(access_key_id, secret_access_key, session_token, None, "given");
        Self::open_with(output, Some(SharedCredentialsProvider::new(keys))).await
    }

    async fn open_with(output: &Output, keys: Option<SharedCredentialsProvider>) -> Result<Self> {
        output.validate()?;
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
        if shared.region().is_none() {
            config = config.region(Region::from_static(ANY_REGION));
        }
        if let Some(endpoint) = &output.endpoint {
            config = config.endpoint_url(endpoint);
        }
        Ok(Self { client: Client::from_conf(config.build()), output: output.clone() })
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
        match self.client.head_bucket().bucket(&self.output.bucket).send().await {
            Ok(_) => Ok(()),
            Err(error) => match Error::sorted(self.place(&probe), &error) {
                Error::NotFound { at } => Err(Error::NoSuchBucket { at }),
                Error::Denied { .. } => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Stores an image, unless there is one under this key already.
    pub async fn put_image(&self, key: &str, png: Bytes, facts: &ImageFacts) -> Result<Put> {
        match self.send_image(key, png.clone(), facts, true).await {
            Err(Error::Exists { .. }) => Ok(Put::Existed(self.head(key).await?)),
            // Some servers know no conditional writes; the same picture may then be written twice.
            Err(Error::Unsupported { .. }) => {
                Ok(Put::Created { etag: self.send_image(key, png, facts, false).await? })
            }
            sent => Ok(Put::Created { etag: sent? }),
        }
    }

    async fn send_image(&self, key: &str, png: Bytes, facts: &ImageFacts, only_new: bool) -> Result<String> {
        let put = self
            .client
            .put_object()
            .bucket(&self.output.bucket)
            .key(key)
            .body(ByteStream::from(png))
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .content_type("image/png")
            .cache_control(IMAGE_CACHE)
            .set_metadata(Some(facts.to_metadata()))
            .set_if_none_match(only_new.then(|| "*".to_owned()));
        let sent = put.send().await.map_err(|error| Error::sorted(self.place(key), &error))?;
        Ok(unquoted(sent.e_tag()))
    }

    /// Writes a job's manifest over any earlier one; its key is [`Output::manifest_key`].
    pub async fn put_manifest<I: Serialize + Sync>(&self, manifest: &Manifest<I>) -> Result<String> {
        let key = self.output.manifest_key(&manifest.uid);
        let json = serde_json::to_vec(manifest)
            .map_err(|error| Error::Unexpected { at: self.place(&key), cause: error.to_string() })?;
        self.client
            .put_object()
            .bucket(&self.output.bucket)
            .key(&key)
            .body(ByteStream::from(json))
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .content_type("application/json")
            .cache_control(MANIFEST_CACHE)
            .send()
            .await
            .map_err(|error| Error::sorted(self.place(&key), &error))?;
        Ok(key)
    }

    /// What there is under a key. Credentials that may not list get [`Error::Denied`] for a missing key.
    pub async fn head(&self, key: &str) -> Result<Found> {
        let head = self.client.head_object().bucket(&self.output.bucket).key(key).send().await;
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
        let object = self.client.get_object().bucket(&self.output.bucket).key(key).send().await;
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
        let sent = self.client.delete_object().bucket(&self.output.bucket).key(key).send().await;
        match sent.map_err(|error| Error::sorted(self.place(key), &error)) {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A URL by which anybody can read the object for so long (at most 7 days). Needs no request.
    pub async fn presign(&self, key: &str, ttl: Duration) -> Result<String> {
        let config = PresigningConfig::expires_in(ttl).map_err(|error| Error::Config {
            what: format!("can't presign {} for {}s: {error}", self.place(key), ttl.as_secs()),
        })?;
        let get = self.client.get_object().bucket(&self.output.bucket).key(key).presigned(config).await;
        Ok(get.map_err(|error| Error::sorted(self.place(key), &error))?.uri().to_owned())
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
