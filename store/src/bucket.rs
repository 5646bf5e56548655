use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Duration};

use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::{
    Client,
    config::{RequestChecksumCalculation, ResponseChecksumValidation},
    operation::get_object::GetObjectOutput,
    types::ChecksumAlgorithm,
};
use bytes::Bytes;
use tokio::sync::watch;

use crate::{
    Access, Capabilities, Conditions, Content, Error, FileFacts, Keys, Output, Place, Result,
    aws::CONNECT_TIMEOUT,
};

/// A request may take a second longer for each so many bytes that it sends.
const SLOWEST: u64 = 1 << 20;
/// A file's content never changes, so caches may keep it for ever.
pub(crate) const FILE_CACHE: &str = "public, max-age=31536000, immutable";
/// A manifest changes while its job runs.
const MANIFEST_CACHE: &str = "no-cache";
/// A key that no image has; reading it shows whether the bucket answers.
const PROBE: &str = ".probe";

/// A bucket and our credentials for it. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) client: Client,
    /// The client for servers that refuse checksums.
    plain: Client,
    pub(crate) output: Output,
    /// What the server supports; all clones share it.
    pub(crate) capabilities: Arc<watch::Sender<Capabilities>>,
}

/// The content of an object, and how it is served.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) content: Content,
    pub(crate) content_type: Cow<'static, str>,
    pub(crate) cache: &'static str,
}

/// How a browser treats a file that its user opens by its URL. What may hold scripts would run them with the rights of the
/// bucket's domain; it is saved instead. In pages it is shown all the same: there a picture runs nothing.
fn disposition(media_type: &str) -> Option<&'static str> {
    let runs = media_type.contains("xml") || media_type.contains("html") || media_type.contains("javascript");
    runs.then_some("attachment")
}

/// An object in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The object's key.
    pub key: String,
    /// The entity tag that the server gives to the content, without quotes.
    pub etag: String,
    /// The object's size, in bytes.
    pub bytes: u64,
    /// The file's facts from the object's metadata; `None` if we did not write the object as a task's file.
    pub facts: Option<FileFacts>,
}

/// The result of writing a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// The object was created.
    Created {
        /// The entity tag that the server gives to the content, without quotes.
        etag: String,
    },
    /// The object existed already, from another attempt, and was not changed.
    Existed(Box<Found>),
}

impl Store {
    /// Opens a bucket with credentials from the SDK's own chain: environment, files, web identity, container, instance.
    /// It sends no request yet; see [`Store::check`].
    pub async fn open(output: &Output) -> Result<Self> {
        Self::open_with(output, None).await
    }

    /// Opens a bucket with the given keys.
    pub async fn open_with_keys(output: &Output, keys: Keys) -> Result<Self> {
        Self::open_with(output, Some(keys)).await
    }

    async fn open_with(output: &Output, keys: Option<Keys>) -> Result<Self> {
        let output = output.clean()?;
        let access = Access {
            keys,
            region: output.region.clone(),
            endpoint: output.endpoint.clone(),
            timeout: output.request_timeout,
        };
        let shared = access.config().await?;
        let config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(output.path_style);
        let plain = config
            .clone()
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        Ok(Self {
            client: Client::from_conf(config.build()),
            plain: Client::from_conf(plain.build()),
            output,
            capabilities: Arc::new(watch::Sender::new(Capabilities::default())),
        })
    }

    /// The output that this store writes to; it gives keys and URLs.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Checks that the bucket answers our requests. The first write shows whether we may write.
    pub async fn check(&self) -> Result<()> {
        let probe = format!("{}{PROBE}", self.output.key_prefix);
        match self.get(&probe).await {
            Ok(_) => return Ok(()),
            // A server answers AccessDenied for a missing key if the credentials may not list the bucket.
            Err(Error::Denied { code, .. }) if code == "AccessDenied" => return Ok(()),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        // The body of the answer to a GET distinguishes wrong credentials from missing rights, but some servers do not
        // check in it whether the bucket exists.
        match Box::pin(self.client.head_bucket().bucket(&self.output.bucket).send()).await {
            Ok(_) => Ok(()),
            Err(error) => match Error::from_sdk(self.place(&probe), &error) {
                Error::NotFound { at } => Err(Error::NoSuchBucket { at }),
                Error::Denied { .. } => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Writes a file, unless the key has an object already. If the server does not support such a condition, the
    /// store looks for the object first; two writers at the same moment may then both write.
    pub async fn put_file(&self, key: &str, content: impl Into<Content>, facts: &FileFacts) -> Result<Put> {
        let content = content.into();
        let body = Body { content, content_type: facts.media_type.clone().into(), cache: FILE_CACHE };
        self.put_once(key, body, facts.to_metadata()).await
    }

    /// Writes an object whose content never changes, unless it exists.
    pub(crate) async fn put_once(
        &self,
        key: &str,
        body: Body,
        metadata: HashMap<String, String>,
    ) -> Result<Put> {
        let capabilities = self.capabilities();
        if capabilities.conditions != Conditions::Kept {
            match self.head(key).await {
                Ok(found) => return Ok(Put::Existed(Box::new(found))),
                Err(Error::NotFound { .. } | Error::Denied { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let only_new = capabilities.conditions != Conditions::Unsupported;
        match self.put(key, body.clone(), metadata.clone(), only_new, capabilities).await {
            Err(Error::Exists { .. }) => Ok(Put::Existed(Box::new(self.head(key).await?))),
            // The server was not probed yet and does not support the condition. The same object may then be written
            // twice.
            Err(Error::Unsupported { .. }) if only_new => {
                let etag = self.put(key, body, metadata, false, capabilities).await?;
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
        capabilities: Capabilities,
    ) -> Result<String> {
        let Body { content, content_type, cache } = body;
        let client = if capabilities.checksums { &self.client } else { &self.plain };
        let put = client
            .put_object()
            .bucket(&self.output.bucket)
            .key(key)
            .body(content.stream())
            .set_checksum_algorithm(capabilities.checksums.then_some(ChecksumAlgorithm::Crc32))
            .set_content_disposition(disposition(&content_type).map(str::to_owned))
            .content_type(content_type)
            .cache_control(cache)
            .set_metadata(Some(metadata))
            .set_if_none_match(only_new.then(|| "*".to_owned()))
            .customize();
        // A large one takes its time, so a try of it must not end as early as that of a small one.
        let put = match content.length() / SLOWEST {
            0 => put,
            seconds => put.config_override(self.slower_by(Duration::from_secs(seconds))),
        };
        // The SDK's futures are very large.
        let sent = Box::pin(put.send()).await.map_err(|error| Error::from_sdk(self.place(key), &error))?;
        Ok(unquoted(sent.e_tag()))
    }

    fn slower_by(&self, more: Duration) -> aws_sdk_s3::config::Builder {
        let limit = self.output.request_timeout + more;
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(limit);
        aws_sdk_s3::config::Builder::new().timeout_config(timeouts.build())
    }

    /// Writes a JSON document, such as a job's manifest, and overwrites an earlier one. Returns the server's entity
    /// tag.
    pub async fn put_json(&self, key: &str, json: Bytes) -> Result<String> {
        let body =
            Body { content: json.into(), content_type: "application/json".into(), cache: MANIFEST_CACHE };
        self.put(key, body, HashMap::new(), false, self.capabilities()).await
    }

    /// The object under a key. For a missing key, credentials that may not list the bucket get [`Error::Denied`].
    pub async fn head(&self, key: &str) -> Result<Found> {
        let head = Box::pin(self.client.head_object().bucket(&self.output.bucket).key(key).send()).await;
        let head = head.map_err(|error| Error::from_sdk(self.place(key), &error))?;
        Ok(Found {
            key: key.to_owned(),
            etag: unquoted(head.e_tag()),
            bytes: head.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
            facts: FileFacts::from_metadata(head.metadata().unwrap_or(&HashMap::new())),
        })
    }

    /// The content of an object, verified with its checksum.
    pub async fn get(&self, key: &str) -> Result<Bytes> {
        let object = Box::pin(self.client.get_object().bucket(&self.output.bucket).key(key).send()).await;
        self.body_of(key, object.map_err(|error| Error::from_sdk(self.place(key), &error))?).await
    }

    pub(crate) async fn body_of(&self, key: &str, object: GetObjectOutput) -> Result<Bytes> {
        match object.body.collect().await {
            Ok(body) => Ok(body.into_bytes()),
            Err(error) => Err(Error::Unavailable { at: self.place(key), cause: error.to_string() }),
        }
    }

    /// Deletes an object. A missing object is not an error.
    pub async fn delete(&self, key: &str) -> Result<()> {
        let sent = Box::pin(self.client.delete_object().bucket(&self.output.bucket).key(key).send()).await;
        match sent.map_err(|error| Error::from_sdk(self.place(key), &error)) {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// An object's place, for errors.
    #[must_use]
    pub fn place(&self, key: &str) -> Place {
        Place {
            endpoint: self.output.endpoint.clone().unwrap_or_else(|| "AWS".into()),
            bucket: self.output.bucket.clone(),
            key: key.to_owned(),
        }
    }
}

pub(crate) fn unquoted(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}
