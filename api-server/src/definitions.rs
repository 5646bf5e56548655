//! What the engines of pools have: their node definitions, as a worker stored them in the pool's bucket.

use std::{
    collections::{BTreeMap, HashMap},
    io::Read as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crds::WorkerPool;
use flate2::read::GzDecoder;
use serde_json::value::RawValue;
use tokio::time::timeout;
use workflow::{Misfit, ObjectInfo, What};

use crate::{
    app::App,
    auth::Caller,
    cache::{PoolKey, Tenant},
    error::Error,
    http::Mount,
};

/// Definitions that are kept, by their digests: each has some megabytes.
const KEPT: usize = 8;
/// More bytes are not read: what a worker stores is smaller.
const MOST_BYTES: u64 = 16 << 20;
/// For the bucket's answer.
const ANSWER: Duration = Duration::from_secs(5);
/// After a failure nobody asks the bucket again for so long.
const PAUSE: Duration = Duration::from_secs(15);
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The nodes of an engine.
#[derive(Debug)]
pub(crate) struct Engine {
    /// The definitions as the engine gave them, by class.
    pub(crate) classes: BTreeMap<String, Box<RawValue>>,
    /// The same, as graphs are checked by them.
    pub(crate) nodes: ObjectInfo,
}

impl Engine {
    fn read(packed: &[u8]) -> Result<Self, String> {
        let mut text = Vec::new();
        GzDecoder::new(packed).take(MOST_BYTES).read_to_end(&mut text).map_err(|error| error.to_string())?;
        let classes = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        let nodes = ObjectInfo::parse(&text).map_err(|error| error.to_string())?;
        Ok(Self { classes, nodes })
    }
}

/// Engines by the digest of their definitions, and since when; `None`: these could not be read.
type Read = HashMap<String, (Instant, Option<Arc<Engine>>)>;

/// The definitions that were read. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Definitions {
    read: Arc<Mutex<Read>>,
}

/// The pool of a request: the one of its URL, else the one of the tenant's jobs that name none.
pub(crate) fn pool_of(
    app: &App,
    caller: &Caller,
    mount: &Mount,
) -> Result<Option<(PoolKey, Arc<WorkerPool>)>, Error> {
    let mut pools = caller.tenant.pools(&app.cache.pools).into_iter();
    match &mount.pool {
        None => Ok(pools.next()),
        Some(named) => {
            let found = pools.find(|(key, _)| key == named);
            found.map(Some).ok_or_else(|| Error::NotFound { what: "pool", name: named.name.clone() })
        }
    }
}

/// What is wrong with a node, in words that a tenant may read: where its models are limited, the others may be models of other
/// tenants.
pub(crate) fn words(misfit: &Misfit, tenant: &Tenant) -> String {
    match &misfit.what {
        What::NotInList { given, .. } if !tenant.spec.models.is_empty() => {
            format!("{}: {given} is not one of its choices", misfit.input.as_deref().unwrap_or_default())
        }
        _ => misfit.to_string(),
    }
}

impl Definitions {
    /// What the engines of a pool have; `None` where no worker has told yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the bucket does not give it.
    pub(crate) async fn of_pool(
        &self,
        app: &App,
        key: &PoolKey,
        pool: &WorkerPool,
    ) -> Result<Option<Arc<Engine>>, Error> {
        let status = pool.status.as_ref().and_then(|status| status.engine.as_ref());
        let Some((digest, object)) = status.and_then(|engine| Some((&engine.digest, engine.key.as_ref()?)))
        else {
            return Ok(None);
        };
        match self.known(digest) {
            Some(Some(engine)) => return Ok(Some(engine)),
            Some(None) => return Err(unavailable()),
            None => {}
        }
        let read = self.fetch(app, key, pool, object).await;
        if let Err(error) = &read {
            tracing::warn!(%error, ?key, object, "what the pool's engines have can't be read");
        }
        let engine = read.ok().map(Arc::new);
        self.keep(digest, engine.clone());
        engine.map(Some).ok_or_else(unavailable)
    }

    /// What the engines have that a request's prompt comes to, if there are workers now: those that come later may have
    /// something else. Nothing where it can't be read; then the operator checks the prompt.
    pub(crate) async fn of_those_there(
        &self,
        app: &App,
        caller: &Caller,
        mount: &Mount,
    ) -> Option<Arc<Engine>> {
        let (key, pool) = pool_of(app, caller, mount).ok().flatten()?;
        let fleets = pool.status.as_ref().map(|status| status.fleets.as_slice()).unwrap_or_default();
        if fleets.iter().all(|fleet| fleet.idle + fleet.busy == 0) {
            return None;
        }
        self.of_pool(app, &key, &pool).await.ok().flatten()
    }

    async fn fetch(
        &self,
        app: &App,
        key: &PoolKey,
        pool: &WorkerPool,
        object: &str,
    ) -> Result<Engine, String> {
        let store = app.buckets.of_pool(key, pool).await.map_err(|error| error.to_string())?;
        let packed = timeout(ANSWER, store.get(object)).await.map_err(|_| "no answer in time".to_owned())?;
        let packed = packed.map_err(|error| error.to_string())?;
        let read = tokio::task::spawn_blocking(move || Engine::read(&packed)).await;
        read.map_err(|error| error.to_string())?
    }

    fn known(&self, digest: &str) -> Option<Option<Arc<Engine>>> {
        let read = self.lock();
        let (since, engine) = read.get(digest)?;
        (engine.is_some() || since.elapsed() < PAUSE).then(|| engine.clone())
    }

    fn keep(&self, digest: &str, engine: Option<Arc<Engine>>) {
        let mut read = self.lock();
        read.insert(digest.to_owned(), (Instant::now(), engine));
        while read.len() > KEPT {
            let oldest = read.iter().min_by_key(|(_, (since, _))| *since).map(|(digest, _)| digest.clone());
            let Some(oldest) = oldest else { break };
            read.remove(&oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable() -> Error {
    let what = "what the pool's engines have can't be read from its bucket".to_owned();
    Error::Unavailable { what, retry_after: RETRY_AFTER }
}
