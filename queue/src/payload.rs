//! What a worker needs to know of a job. A small payload comes with each lease; a large one has a key of its own, so that no
//! script has to carry it, and is fetched once by whoever needs it.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;

use crate::{Error, JobUid, Lease, Queue, Result, TaskSpec};

/// Larger ones have a key of their own, bytes.
pub(crate) const LARGE: usize = 4096;
/// A handle remembers so many large ones.
const REMEMBERED: usize = 8;

/// Large payloads fetched lately, the last used at the end.
#[derive(Debug, Default)]
pub(crate) struct Payloads(Mutex<VecDeque<(JobUid, Bytes)>>);

impl Payloads {
    fn get(&self, job: &JobUid) -> Option<Bytes> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = known.iter().position(|(uid, _)| uid == job)?;
        let found = known.remove(at)?;
        let payload = found.1.clone();
        known.push_back(found);
        Some(payload)
    }

    fn put(&self, job: &JobUid, payload: Bytes) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(uid, _)| uid != job);
        if known.len() == REMEMBERED {
            known.pop_front();
        }
        known.push_back((job.clone(), payload));
    }
}

impl Queue {
    /// The work of a leased task.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the payload is not the JSON of a [`TaskSpec`]: it will not read better elsewhere.
    /// [`Error::Unknown`] when the job was forgotten meanwhile. Otherwise when Redis can't be reached.
    pub async fn spec_of(&self, lease: &Lease) -> Result<TaskSpec> {
        let job = &lease.task.job;
        let payload = match &lease.payload {
            Some(payload) => payload.clone(),
            None => match self.shared.payloads.get(job) {
                Some(payload) => payload,
                None => self.fetch(job).await?,
            },
        };
        serde_json::from_slice(&payload).map_err(|error| Error::malformed("payload", error))
    }

    async fn fetch(&self, job: &JobUid) -> Result<Bytes> {
        let payload = self.payload(job).await?.ok_or_else(|| Error::Unknown { job: job.clone() })?;
        self.shared.payloads.put(job, payload.clone());
        Ok(payload)
    }

    /// A job's payload; `None` when the queue does not know the job.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn payload(&self, job: &JobUid) -> Result<Option<Bytes>> {
        let mut small = redis::cmd("HGET");
        small.arg(self.key(&format!("job:{job}"))).arg("payload");
        let mut payload: Option<Vec<u8>> = self.redis.query(&small).await?;
        if payload.is_none() {
            let mut large = redis::cmd("GET");
            large.arg(self.key(&format!("payload:{job}")));
            payload = self.redis.query(&large).await?;
        }
        Ok(payload.map(Bytes::from))
    }
}
