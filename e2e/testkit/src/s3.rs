use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use hyper::{Method, StatusCode, service::service_fn};
use hyper_util::rt::TokioIo;
use s3s::{
    Body, HttpRequest, HttpResponse, S3Result,
    access::{S3Access, S3AccessContext},
    auth::SimpleAuth,
    s3_error,
    service::{S3Service, S3ServiceBuilder},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::RwLock, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;

/// No test sends more in one request, bytes.
const LARGEST_BODY: usize = 1 << 30;

/// Who may read objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reading {
    /// Clients whose requests are signed.
    #[default]
    Signed,
    /// Every client, as with a bucket behind a CDN. All other requests must be signed.
    Public,
}

/// The options of an [`S3`].
#[derive(Debug, Clone)]
pub struct S3Options {
    /// The names of the buckets.
    pub buckets: Vec<String>,
    /// The access key with which requests are signed.
    pub access_key: String,
    /// The secret key with which requests are signed.
    pub secret_key: String,
    /// Who may read objects.
    pub reading: Reading,
    /// The folder of the objects; by default one that is removed with the handle.
    pub root: Option<PathBuf>,
    /// The address to listen on; by default a free loopback port.
    pub listen: SocketAddr,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            buckets: vec!["images".to_owned()],
            access_key: "test-access-key".to_owned(),
            secret_key: "test-secret-key".to_owned(),
            reading: Reading::Signed,
            root: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }
}

/// A difference between a server and S3, as some compatible servers have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Fault {
    /// Every write is answered with this status; reading works.
    RefusePuts(u16),
    /// A write with `If-None-Match` is answered with 501.
    RefuseConditions,
    /// A write with `If-None-Match` overwrites the object.
    IgnoreConditions,
    /// A write with a checksum is answered with 400.
    RefuseChecksums,
}

/// A request that an [`S3`] answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Request {
    /// `GET`, `PUT`, …
    pub method: String,
    /// `/bucket/key`, without the query.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
}

/// A server of the S3 protocol that checks signatures and keeps objects as files.
#[derive(Debug)]
pub struct S3 {
    options: S3Options,
    address: SocketAddr,
    root: PathBuf,
    service: Arc<Service>,
    serving: Option<AbortOnDropHandle<()>>,
    _dir: Option<TempDir>,
}

impl S3 {
    /// Starts a server in the calling runtime.
    ///
    /// # Errors
    /// If its directory can't be made or its port can't be opened.
    pub async fn start(options: S3Options) -> Result<Self> {
        let (dir, root) = match &options.root {
            Some(root) => (None, root.clone()),
            None => {
                let dir = tempfile::Builder::new().prefix("s3-").tempdir()?;
                let root = dir.path().to_owned();
                (Some(dir), root)
            }
        };
        std::fs::create_dir_all(&root).with_context(|| format!("can't make {}", root.display()))?;
        let service = Arc::new(Service::new(&options, &root)?);
        let listener = listen(options.listen).await?;
        let address = listener.local_addr()?;
        let serving = Some(AbortOnDropHandle::new(tokio::spawn(serve(listener, service.clone()))));
        let s3 = Self { options, address, root, service, serving, _dir: dir };
        for bucket in &s3.options.buckets {
            s3.create_bucket(bucket)?;
        }
        Ok(s3)
    }

    /// `http://127.0.0.1:…`; buckets are addressed by path.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address on which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The options with which the server was started.
    pub fn options(&self) -> &S3Options {
        &self.options
    }

    /// Creates a bucket, unless it exists.
    ///
    /// # Errors
    /// If its directory can't be made.
    pub fn create_bucket(&self, name: &str) -> Result<()> {
        std::fs::create_dir_all(self.root.join(name)).with_context(|| format!("can't make bucket {name}"))
    }

    /// The file that holds an object's content.
    pub fn object_file(&self, bucket: &str, key: &str) -> PathBuf {
        self.root.join(bucket).join(key)
    }

    /// All requests that were answered so far, in order.
    pub fn requests(&self) -> Vec<S3Request> {
        lock(&self.service.requests).clone()
    }

    /// Answers the next requests with these statuses, each used once, whatever the request is.
    pub fn fail_next(&self, statuses: impl IntoIterator<Item = u16>) {
        lock(&self.service.failures).extend(statuses);
    }

    /// Replaces the server's differences from S3.
    pub fn misbehave(&self, faults: impl IntoIterator<Item = S3Fault>) {
        *lock(&self.service.faults) = faults.into_iter().collect();
    }

    /// Closes the port and every connection; the objects stay.
    pub fn stop(&mut self) {
        self.serving = None;
    }

    /// Serves again on the same port, after [`S3::stop`].
    ///
    /// # Errors
    /// If another process has taken the port.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop();
        let listener = listen(self.address).await?;
        self.serving = Some(AbortOnDropHandle::new(tokio::spawn(serve(listener, self.service.clone()))));
        Ok(())
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))
}

struct Service {
    s3: S3Service,
    files: RwLock<()>,
    requests: Mutex<Vec<S3Request>>,
    failures: Mutex<VecDeque<u16>>,
    faults: Mutex<Vec<S3Fault>>,
    root: PathBuf,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    fn new(options: &S3Options, root: &std::path::Path) -> Result<Self> {
        let files = s3s_fs::FileSystem::new(root)
            .map_err(|error| anyhow::anyhow!("can't keep objects in {}: {error:?}", root.display()))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(&options.access_key, options.secret_key.as_str()));
        builder.set_access(options.reading);
        Ok(Self {
            s3: builder.build(),
            files: RwLock::default(),
            requests: Mutex::default(),
            failures: Mutex::default(),
            faults: Mutex::default(),
            root: root.to_owned(),
        })
    }

    async fn answer(&self, mut request: HttpRequest) -> Result<HttpResponse, s3s::HttpError> {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        // An object's content, checksum and metadata are files of their own, and a condition is looked at before they are
        // written. In S3 all of that is one step: so nobody else reads or writes meanwhile. How long a client takes to
        // send the content holds up nobody.
        let (_reading, _writing) = if matches!(*request.method(), Method::GET | Method::HEAD) {
            (Some(self.files.read().await), None)
        } else {
            request.body_mut().store_all_limited(LARGEST_BODY).await.map_err(s3s::HttpError::new)?;
            (None, Some(self.files.write().await))
        };
        let failure = lock(&self.failures).pop_front().or_else(|| self.fault(&request));
        let response = match failure.and_then(|status| StatusCode::from_u16(status).ok()) {
            Some(status) => {
                let mut response = HttpResponse::new(Body::from(String::new()));
                *response.status_mut() = status;
                response
            }
            None => self.s3.call(request).await?,
        };
        lock(&self.requests).push(S3Request { method, path, status: response.status().as_u16() });
        Ok(response)
    }
}

impl Service {
    /// The status with which a fault answers a request.
    fn fault(&self, request: &HttpRequest) -> Option<u16> {
        if request.method() != Method::PUT {
            return None;
        }
        let is_conditional = request.headers().contains_key(hyper::header::IF_NONE_MATCH);
        let is_checked = request.headers().keys().any(|name| {
            let name = name.as_str();
            name.starts_with("x-amz-checksum")
                || name.starts_with("x-amz-sdk-checksum")
                || name == "x-amz-trailer"
        });
        lock(&self.faults).iter().find_map(|fault| match fault {
            S3Fault::RefusePuts(status) => Some(*status),
            S3Fault::RefuseConditions => is_conditional.then_some(501),
            S3Fault::RefuseChecksums => is_checked.then_some(400),
            S3Fault::IgnoreConditions => {
                if is_conditional {
                    // A file that does not exist can be written under any condition.
                    let _ =
                        std::fs::remove_file(self.root.join(request.uri().path().trim_start_matches('/')));
                }
                None
            }
        })
    }
}

async fn serve(listener: TcpListener, service: Arc<Service>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((socket, _)) = listener.accept() => {
                let _ = socket.set_nodelay(true);
                let service = service.clone();
                let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let service = service.clone();
                    // On its own: a client that is killed drops its connection, and with it whatever answers it. An
                    // object whose content is new and whose checksum is old would be left.
                    let answering = tokio::spawn(async move { service.answer(request.map(Body::from)).await });
                    async move {
                        match answering.await {
                            Ok(answer) => answer,
                            // It panicked; or the runtime ends.
                            Err(error) => Err(s3s::HttpError::new(Box::new(error))),
                        }
                    }
                });
                connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

#[async_trait::async_trait]
impl S3Access for Reading {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let reads = matches!(context.s3_op().name(), "GetObject" | "HeadObject");
        match (self, context.credentials()) {
            (_, Some(_)) => Ok(()),
            (Self::Public, None) if reads => Ok(()),
            (Self::Public | Self::Signed, None) => Err(s3_error!(AccessDenied, "the request is not signed")),
        }
    }
}

/// A test that panicked while it held the lock has failed already.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
