use crate::JobUid;

/// What can go wrong between us and Redis. An error never means "the queue is empty".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is not one we understand.
    #[error("bad Redis URL: {0}")]
    Url(String),
    /// Redis can't be reached, timed out, or refused the command.
    #[error("Redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// Redis has no memory left for another job; what is queued stays (maxmemory with noeviction).
    #[error("Redis is full: {0}")]
    Full(String),
    /// Another operator leads by now: nothing was changed.
    #[error("this operator's term {term} is over: the leader's is {leader}")]
    Deposed {
        /// The term of the handle that was used.
        term: u64,
        /// The term that counts.
        leader: u64,
    },
    /// A certificate or key can't be read.
    #[error("can't read {path}: {why}")]
    File {
        /// Where it should be.
        path: String,
        /// What the system says.
        why: std::io::Error,
    },
    /// The job can't be queued as it is.
    #[error("job {uid}: {why}")]
    Job {
        /// The job's uid.
        uid: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The queue does not know this job (any more).
    #[error("the queue does not know job {job}")]
    Unknown {
        /// The job.
        job: JobUid,
    },
    /// What stands in Redis is not what we wrote.
    #[error("malformed {what} in Redis: {why}")]
    Malformed {
        /// The record that could not be read.
        what: &'static str,
        /// The decoder's message.
        why: String,
    },
}

impl Error {
    #[allow(clippy::needless_pass_by_value)] // callers pass errors they are done with
    pub(crate) fn malformed(what: &'static str, why: impl ToString) -> Self {
        Self::Malformed { what, why: why.to_string() }
    }
}
