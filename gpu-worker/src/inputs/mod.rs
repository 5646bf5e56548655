//! The files that a job brings: fetched by the worker, checked, and lent to the engine while tasks need them.
//!
//! The engine fetches nothing, and gets nothing as a stranger made it:
//! - [`target`] says which URLs may be fetched, [`address`] and [`trust`] from which addresses, [`fetch`] fetches;
//! - [`clean`] says what a file is, and makes a new file of a picture;
//! - [`shelf`] knows what the engine holds: each input is fetched and given to it once, whatever the number of tasks that
//!   use it, and is taken away a minute after the last of them.
//!
//! Files are named by their hash there; no text of a user's gets into a file's name.

mod clean;
mod error;
mod fetch;
mod shelf;
mod target;
mod trust;

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::future::try_join_all;
use queue::{InputSource, JobUid, TaskInput};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use store::Store;
use tokio::{
    sync::{Mutex, Semaphore},
    task::spawn_blocking,
    time::{Instant, sleep_until, timeout},
};

pub use error::Error;
pub use fetch::WITHIN;
pub use shelf::Keep;
pub use trust::{Lookup, Trust};

use self::{
    clean::clean,
    error::Why,
    fetch::Fetcher,
    shelf::{Hold, Key, Lent, Shelf},
};
use crate::comfyui::{Engine, State};

/// So many files are fetched at once, each of which may take its limit in memory.
const AT_ONCE: usize = 2;
/// A picture takes its pixels' memory and more while it is decoded: one at a time.
const CLEANED_AT_ONCE: usize = 1;

/// The input files of all tasks of a worker.
#[derive(Debug)]
pub struct Inputs {
    store: Store,
    engine: Arc<Engine>,
    fetcher: Fetcher,
    keep: Keep,
    shelf: Shelf,
    fetching: Semaphore,
    cleaning: Arc<Semaphore>,
    /// The engine is given and takes back one file at a time, so that neither overtakes the other.
    lending: Mutex<()>,
}

/// Inputs that the engine has, until this is dropped.
#[derive(Debug, Default)]
pub struct Prepared<'a> {
    /// `node.input`, and the name by which the engine knows the file.
    names: Vec<(String, String)>,
    _holds: Vec<Hold<'a>>,
}

/// A file to lend.
struct File {
    content: Bytes,
    name: String,
}

impl Prepared<'_> {
    /// Every `node.input` that gets a file, and the name of the file in the engine.
    #[must_use]
    pub fn names(&self) -> &[(String, String)] {
        &self.names
    }

    /// Writes the files' names into a graph. What the graph does not have stays out: the operator has looked.
    pub fn place(&self, nodes: &mut Map<String, Value>) {
        for (path, name) in &self.names {
            let input = path.split_once('.').and_then(|(node, input)| {
                let inputs = nodes.get_mut(node)?.get_mut("inputs")?.as_object_mut()?;
                Some((inputs, input))
            });
            match input {
                Some((inputs, input)) => _ = inputs.insert(input.to_owned(), name.as_str().into()),
                None => tracing::warn!(path, "an input file goes to a node that the graph does not have"),
            }
        }
    }
}

impl Inputs {
    /// Nothing is fetched yet. `trust` is [`Trust::default`] and `within` [`WITHIN`] but in tests.
    #[must_use]
    pub fn new(store: Store, engine: Arc<Engine>, trust: Trust, within: Duration, keep: Keep) -> Self {
        Self {
            store,
            engine,
            fetcher: Fetcher::new(trust, within),
            keep,
            shelf: Shelf::default(),
            fetching: Semaphore::new(AT_ONCE),
            cleaning: Arc::new(Semaphore::new(CLEANED_AT_ONCE)),
            lending: Mutex::default(),
        }
    }

    /// Sees to it that the engine has the inputs of a job. It keeps them for as long as what is returned lives.
    ///
    /// # Errors
    /// The first input that can't be had.
    pub async fn prepare(&self, job: &JobUid, inputs: &[TaskInput]) -> Result<Prepared<'_>, Error> {
        let all = inputs.iter().map(async |input| {
            let hold = self.shelf.hold(Key::of(job, input));
            let name = Box::pin(self.lend(&hold, input)).await.map_err(|why| why.of(&input.name))?;
            Ok((name, hold))
        });
        let lent = try_join_all(all).await?;
        let mut prepared = Prepared::default();
        for (input, (name, hold)) in inputs.iter().zip(lent) {
            prepared.names.extend(input.to.iter().map(|path| (path.clone(), name.clone())));
            prepared._holds.push(hold);
        }
        Ok(prepared)
    }

    /// The name of a file that the engine has, or gets now.
    async fn lend(&self, hold: &Hold<'_>, input: &TaskInput) -> Result<String, Why> {
        let mut lent = hold.lent.lock().await;
        if let Some(known) = &mut *lent
            && self.still_has(known).await
        {
            return Ok(known.name.clone());
        }
        let File { content, name: file } = self.file(input).await?;
        let bytes = content.len() as u64;
        let seen = self.state();
        let turn = self.lending.lock().await;
        hold.lends(&file, bytes);
        let name = self.engine.lend(&file, content).await.map_err(|error| Why::Engine(Box::new(error)))?;
        drop(turn);
        tracing::debug!(file, bytes, "lent an input to the engine");
        *lent = Some(Lent { file, name: name.clone(), bytes, seen });
        Ok(name)
    }

    /// An engine that was restarted has emptied its folder. After a mere break of the connection it has not.
    async fn still_has(&self, lent: &mut Lent) -> bool {
        let now = self.state();
        if lent.seen == now && matches!(now, State::Up(_)) {
            return true;
        }
        if self.engine.has(&lent.file, lent.bytes).await {
            lent.seen = now;
            return true;
        }
        false
    }

    fn state(&self) -> State {
        self.engine.state().borrow().clone()
    }

    /// Fetched, checked, and made safe for the engine.
    async fn file(&self, input: &TaskInput) -> Result<File, Why> {
        let Ok(_fetching) = self.fetching.acquire().await else { return Err(Why::TooSlow(Duration::ZERO)) };
        let fetched = self.fetched(input).await?;
        if fetched.len() as u64 > input.max_bytes {
            return Err(Why::TooLarge(input.max_bytes));
        }
        let is = format!("{:x}", Sha256::digest(&fetched));
        if let Some(wanted) = input.sha256.as_ref().filter(|wanted| !wanted.eq_ignore_ascii_case(&is)) {
            return Err(Why::OtherContent { is, wanted: wanted.clone() });
        }
        let (content, extension) = self.cleaned(fetched, input).await?;
        Ok(File { content, name: format!("{is}.{extension}") })
    }

    async fn fetched(&self, input: &TaskInput) -> Result<Bytes, Why> {
        match &input.source {
            InputSource::Url { url, hosts } => self.fetcher.fetch(url, hosts, input.max_bytes).await,
            InputSource::Object { key } => {
                let within = self.fetcher.within();
                let got = timeout(within, self.store.get_at_most(key, input.max_bytes)).await;
                match got.map_err(|_| Why::TooSlow(within))? {
                    Ok(Some(file)) => Ok(file),
                    Ok(None) => Err(Why::TooLarge(input.max_bytes)),
                    Err(store::Error::NotFound { .. }) => Err(Why::NoObject(key.clone())),
                    // So a bucket answers for an object that is not there, to who may not list. Other codes say that
                    // the credentials are wrong, which is not the job's fault.
                    Err(store::Error::Denied { code, .. }) if code == "AccessDenied" => {
                        Err(Why::NoObject(key.clone()))
                    }
                    Err(error) => Err(Why::Bucket(Box::new(error))),
                }
            }
            InputSource::Inline { base64 } => match STANDARD.decode(base64.trim_ascii()) {
                Ok(file) => Ok(file.into()),
                Err(error) => Err(Why::NotBase64(error.to_string())),
            },
        }
    }

    async fn cleaned(&self, file: Bytes, input: &TaskInput) -> Result<(Bytes, &'static str), Why> {
        let (kind, max_pixels) = (input.kind, input.max_pixels);
        // Goes with the work: that is not stopped when nobody waits for it any more.
        let permit = self.cleaning.clone().acquire_owned().await;
        let cleaning = spawn_blocking(move || {
            let _permit = permit;
            clean(&file, kind, max_pixels)
        });
        match cleaning.await {
            Ok(cleaned) => Ok(cleaned?),
            // It panicked, or the worker ends.
            Err(error) => Err(Why::Unchecked(error.to_string())),
        }
    }

    /// Takes from the engine what no task needs any more, for ever.
    pub async fn keep_tidy(&self) {
        loop {
            let next = self.take_back(self.keep).await;
            let expired = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = expired => {}
                () = self.shelf.released() => {}
            }
        }
    }

    /// Takes all from the engine that no task uses now, as at the worker's end.
    pub async fn clear(&self) {
        self.take_back(Keep { idle: Duration::ZERO, bytes: 0, files: 0 }).await;
    }

    async fn take_back(&self, keep: Keep) -> Option<Instant> {
        let (files, next) = self.shelf.expire(keep, Instant::now());
        for file in files {
            let _turn = self.lending.lock().await;
            if !self.shelf.names(&file) {
                self.engine.take_back(&file).await;
                tracing::debug!(file, "took an input back from the engine");
            }
        }
        next
    }
}
