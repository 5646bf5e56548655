//! What a worker needs to know of a job.

use bytes::Bytes;

use crate::{Error, JobUid, Lease, Queue, Result, TaskSpec};

impl Queue {
    /// The work of a leased task. What can't be read is to be [rejected](crate::Release::Rejected): it will not read
    /// better elsewhere.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the payload is not the JSON of a [`TaskSpec`]; otherwise when Redis can't be reached.
    pub async fn spec_of(&self, lease: &Lease) -> Result<TaskSpec> {
        let payload = match &lease.payload {
            Some(payload) => payload.clone(),
            None => self.payload(&lease.task.job).await?.unwrap_or_default(),
        };
        serde_json::from_slice(&payload).map_err(|error| Error::malformed("payload", error))
    }

    /// A job's payload; `None` when the queue does not know the job.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn payload(&self, job: &JobUid) -> Result<Option<Bytes>> {
        let mut call = redis::cmd("HGET");
        call.arg(self.key(&format!("job:{job}"))).arg("p");
        let payload: Option<Vec<u8>> = self.redis.query(&call).await?;
        Ok(payload.map(Bytes::from))
    }
}
