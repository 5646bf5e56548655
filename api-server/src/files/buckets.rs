//! The buckets of pools, with the pools' own credentials.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crds::{JobOutput, WorkerPool};
use kube::Client;
use store::{Keys, Output, Store};

use crate::{
    cache::{Cache, Job, PoolKey},
    credentials,
    error::Error,
};

/// Credentials are read again after so long: they may have been replaced.
const KEPT: Duration = Duration::from_secs(300);
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Open buckets by pool and place, and since when.
type Open = HashMap<(PoolKey, String), (Instant, Store)>;

/// The buckets. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Buckets {
    client: Client,
    cache: Cache,
    open: Arc<Mutex<Open>>,
}

impl Buckets {
    pub(crate) fn new(client: Client, cache: Cache) -> Self {
        Self { client, cache, open: Arc::default() }
    }

    /// The bucket that a job's files are in.
    ///
    /// # Errors
    /// [`Error::NotFound`] of a job that has no files yet; [`Error::Unavailable`] when the pool's credentials can't be read.
    pub(crate) async fn of_job(&self, job: &Job) -> Result<Store, Error> {
        let (Some(output), Some(pool)) = (&job.status.output, &job.status.pool) else {
            return Err(Error::NotFound { what: "file of job", name: job.name.clone() });
        };
        self.open(&PoolKey::new(&pool.namespace, &pool.name), output).await
    }

    /// The bucket of a pool.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the pool's credentials can't be read.
    pub(crate) async fn of_pool(&self, key: &PoolKey, pool: &WorkerPool) -> Result<Store, Error> {
        let crds::Output { bucket, endpoint, key_prefix, public_url, .. } = &pool.spec.output;
        let output = JobOutput {
            endpoint: endpoint.clone(),
            bucket: bucket.clone(),
            key_prefix: key_prefix.clone(),
            public_url: public_url.clone(),
        };
        self.open(key, &output).await
    }

    async fn open(&self, pool: &PoolKey, output: &JobOutput) -> Result<Store, Error> {
        let JobOutput { endpoint, bucket, key_prefix, .. } = output;
        let place = format!("{}/{bucket}/{key_prefix}", endpoint.as_deref().unwrap_or_default());
        let known = (pool.clone(), place);
        if let Some((since, store)) = self.lock().get(&known)
            && since.elapsed() < KEPT
        {
            return Ok(store.clone());
        }
        let wanted = self.settings(pool, output);
        let keys = match &wanted.secret {
            Some(secret) => Some(self.keys(&pool.namespace, secret).await?),
            None => None,
        };
        let opened = match keys {
            Some(keys) => Box::pin(Store::open_with_keys(&wanted.output, keys)).await,
            None => Box::pin(Store::open(&wanted.output)).await,
        };
        let store =
            opened.map_err(|error| Error::Internal(format!("the pool's bucket can't be opened: {error}")))?;
        self.lock().insert(known, (Instant::now(), store.clone()));
        Ok(store)
    }

    /// How to reach the bucket. A pool may have another one by now; then its credentials are not for this one.
    fn settings(&self, pool: &PoolKey, output: &JobOutput) -> Settings {
        let found = self.cache.pools.get(pool);
        let same = found.as_ref().map(|pool| &pool.spec.output);
        let same = same.filter(|now| now.bucket == output.bucket && now.endpoint == output.endpoint);
        let output = Output {
            endpoint: output.endpoint.clone(),
            region: same.map(|now| now.region.clone()),
            path_style: same.map_or(output.endpoint.is_some(), |now| now.path_style),
            key_prefix: output.key_prefix.clone(),
            public_url: Some(output.public_url.clone()),
            ..Output::new(&output.bucket)
        };
        let secret =
            same.and_then(|now| now.credentials_secret_ref.as_ref()).map(|secret| secret.name.clone());
        Settings { output, secret }
    }

    async fn keys(&self, namespace: &str, name: &str) -> Result<Keys, Error> {
        credentials::keys(&self.client, namespace, name).await.map_err(|error| {
            tracing::warn!(error, namespace, name, "the bucket's credentials can't be read");
            Error::Unavailable {
                what: "the files' bucket can't be reached".to_owned(),
                retry_after: RETRY_AFTER,
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Settings {
    output: Output,
    /// The Secret with the credentials; `None`: those of our own ServiceAccount or machine.
    secret: Option<String>,
}
