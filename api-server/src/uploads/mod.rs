//! Files that users hand in, for jobs to start from. A file's id is the BLAKE3 of its content: the same file handed in twice
//! is one object. It lies in the bucket of the pool that is to use it, in a folder of its tenant.

mod base64;
mod form;
mod spool;

use std::sync::Arc;

use axum::{http::HeaderMap, response::Response};
use bytes::Bytes;
use crds::WorkerPool;
use futures::{Stream, StreamExt as _};
use serde_json::{Value, json};
use store::{Put, Store, Upload};

use crate::{
    app::App,
    auth::Caller,
    cache::PoolKey,
    error::{Error, Fault},
    files,
    http::Mount,
};

pub(crate) use form::{Texts, broken, bytes_of};
use spool::{Spool, Spooled};

/// The longest name of a file, in characters.
const LONGEST_NAME: usize = 200;
/// The inputs that a job may have.
const MOST_INPUTS: usize = 20;
/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 64;

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uploaded {
    /// The BLAKE3 of its content, in hexadecimal digits.
    pub(crate) id: String,
    /// Its key in the bucket.
    pub(crate) key: String,
    pub(crate) upload: Upload,
}

/// What a file is called by whoever hands it in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Description {
    pub(crate) name: Option<String>,
    pub(crate) media_type: Option<String>,
    /// The id that it is to have.
    pub(crate) id: Option<String>,
}

/// A tenant's folder in the bucket of a pool.
pub(crate) struct Folder {
    store: Store,
    prefix: String,
    pool: Arc<WorkerPool>,
}

impl Folder {
    /// The caller's folder: of the pool that the URL names, else of the tenant's first.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when the tenant may use no such pool; [`Error::Unavailable`] when its bucket can't be reached.
    pub(crate) async fn of(app: &App, caller: &Caller, mount: &Mount) -> Result<Self, Error> {
        let pools = caller.tenant.pools(&app.cache.pools);
        let meant =
            |(key, _): &(PoolKey, Arc<WorkerPool>)| mount.pool.as_ref().is_none_or(|pool| pool == key);
        let found = pools.into_iter().find(meant);
        let none = || Error::Forbidden("this tenant has no pool whose bucket could take files".to_owned());
        let (key, pool) = found.ok_or_else(none)?;
        let store = app.buckets.of_pool(&key, &pool).await?;
        let prefix = store.output().uploads(&caller.tenant.name);
        Ok(Self { store, prefix, pool })
    }

    /// The caller's folder, to hand files in: they count as a request.
    ///
    /// # Errors
    /// As [`Folder::of`]; [`Error::Forbidden`] of a key that may only read; [`Error::OverLimit`].
    pub(crate) async fn to_fill(app: &App, caller: &Caller, mount: &Mount) -> Result<Self, Error> {
        caller.may_write()?;
        app.limits.admit(caller, None).await?;
        Self::of(app, caller, mount).await
    }

    fn key(&self, id: &str) -> String {
        format!("{}{id}", self.prefix)
    }

    /// The file with this id.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the tenant has none.
    pub(crate) async fn find(&self, id: &str) -> Result<Uploaded, Error> {
        let missing = || Error::NotFound { what: "file", name: id.to_owned() };
        if !is_id(id) {
            return Err(missing());
        }
        let key = self.key(id);
        let upload = self.store.upload(&key).await.map_err(|error| files::of_store(error, id))?;
        Ok(Uploaded { id: id.to_owned(), key, upload: upload.ok_or_else(missing)? })
    }

    /// Takes a file; says whether it is new.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::HashMismatch`] when it is not the file that it is said to be; [`Error::Invalid`] when it
    /// breaks off or is empty. Nothing is stored then.
    pub(crate) async fn take<E: std::fmt::Display>(
        &self,
        description: Description,
        content: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<(Uploaded, bool), Error> {
        let Spooled { content, id, sha256, bytes } = spool(content, self.pool.spec.inputs.max_bytes).await?;
        if description.id.as_ref().is_some_and(|wanted| *wanted != id) {
            return Err(Error::HashMismatch { found: id });
        }
        let name: String = description
            .name
            .as_deref()
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_control())
            .take(LONGEST_NAME)
            .collect();
        let media_type = description.media_type.filter(|kind| is_media_type(kind));
        let upload = Upload {
            name: if name.is_empty() { id.clone() } else { name },
            media_type: media_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
            sha256,
            bytes,
            written: jiff::Timestamp::now().as_second(),
        };
        let key = self.key(&id);
        let put = self
            .store
            .put_upload(&key, content, &upload)
            .await
            .map_err(|error| files::of_store(error, &upload.name))?;
        match put {
            Put::Created { .. } => Ok((Uploaded { id, key, upload }, true)),
            Put::Existed(_) => Ok((self.find(&id).await?, false)),
        }
    }

    /// The bytes that a file may have.
    pub(crate) fn most_bytes(&self) -> usize {
        usize::try_from(self.pool.spec.inputs.max_bytes).unwrap_or(usize::MAX)
    }

    /// A file's content.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the bucket is away; [`Error::TooLarge`].
    pub(crate) async fn bytes(&self, file: &Uploaded) -> Result<Bytes, Error> {
        files::read(&self.store, &file.served(), self.most_bytes()).await
    }

    /// Answers a request for a file with its bytes.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the bucket is away.
    pub(crate) async fn download(&self, file: &Uploaded, asked: &HeaderMap) -> Result<Response, Error> {
        files::download(&self.store, &file.served(), asked).await
    }

    /// Deletes a file. Jobs that are to start from it will miss it.
    pub(crate) async fn delete(&self, id: &str) -> Result<(), Error> {
        let Uploaded { key, .. } = self.find(id).await?;
        self.store.delete(&key).await.map_err(|error| files::of_store(error, id))
    }
}

impl Uploaded {
    fn served(&self) -> files::Served<'_> {
        let Upload { name, media_type, sha256, bytes, .. } = &self.upload;
        files::Served { key: &self.key, name, media_type, bytes: *bytes, sha256: Some(sha256) }
    }

    /// A job's input of this name that is the file.
    pub(crate) fn input(&self, name: &str) -> Value {
        json!({ "name": name, "from": self.source(), "sha256": self.upload.sha256 })
    }

    /// Where a job's input comes from that starts from it, as the ImageJob API has it.
    pub(crate) fn source(&self) -> Value {
        json!({ "s3": { "key": self.key } })
    }
}

/// Puts the places of uploads where a job's inputs name them: `from: {file: ID}`.
///
/// # Errors
/// [`Error::Invalid`] of a file that the tenant does not have.
pub(crate) async fn settle(
    app: &App,
    caller: &Caller,
    mount: &Mount,
    inputs: &mut Value,
) -> Result<(), Error> {
    let mut folder = None;
    // A job with more is refused later.
    for (i, input) in inputs.as_array_mut().into_iter().flatten().enumerate().take(MOST_INPUTS) {
        let Some(id) = input["from"]["file"].as_str().map(str::to_owned) else { continue };
        let folder = match &mut folder {
            Some(folder) => folder,
            none => none.insert(Folder::of(app, caller, mount).await?),
        };
        let found = folder.find(&id).await.map_err(|error| match error {
            Error::NotFound { .. } => {
                Error::Invalid(vec![Fault::new(format!("/inputs/{i}/from/file"), error.to_string())])
            }
            other => other,
        })?;
        input["from"] = found.source();
        input["sha256"] = json!(found.upload.sha256);
    }
    Ok(())
}

async fn spool<E: std::fmt::Display>(
    content: impl Stream<Item = Result<Bytes, E>>,
    most: u64,
) -> Result<Spooled, Error> {
    let mut spool = Spool::new(most)?;
    let mut content = std::pin::pin!(content);
    while let Some(piece) = content.next().await {
        let piece = piece.map_err(|error| Error::invalid("", format!("the file broke off: {error}")))?;
        spool.add(piece).await?;
    }
    spool.close().await
}

/// Whether it is the id of a file that may be there.
pub(crate) fn is_id(id: &str) -> bool {
    id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn is_media_type(kind: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'+' | b'-');
    kind.len() <= 100 && kind.contains('/') && kind.bytes().all(inside)
}
