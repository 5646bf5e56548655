use std::{fmt, str::FromStr};

use queue::JobUid;
use uuid::Uuid;

/// A job's `metadata.uid`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Uid(Uuid);

impl Uid {
    /// As the queue knows the job.
    pub(crate) fn job(self) -> JobUid {
        JobUid(self.to_string())
    }

    /// A number that is the job's own and random.
    pub(crate) fn number(self) -> u128 {
        self.0.as_u128()
    }
}

impl FromStr for Uid {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}
