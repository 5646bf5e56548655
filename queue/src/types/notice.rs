use std::time::Duration;

use crate::{Error, Result, spec::millis};

/// What a worker learned of its machine's end by itself. For the operator to act on; the queue only passes it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// It may be taken away.
    AtRisk,
    /// It will be taken away.
    Doomed {
        /// How long there is left, at the moment of the call that says so: no two clocks need agree.
        left: Duration,
    },
}

impl Notice {
    pub(crate) const AT_RISK: &str = "atRisk";
    pub(crate) const DOOMED: &str = "doomed";

    /// The word and the time left, ms.
    pub(crate) fn encode(notice: Option<Self>) -> (&'static str, u64) {
        match notice {
            None => ("", 0),
            Some(Self::AtRisk) => (Self::AT_RISK, 0),
            Some(Self::Doomed { left }) => (Self::DOOMED, millis(left)),
        }
    }

    pub(crate) fn decode(word: &str, left: Duration) -> Result<Option<Self>> {
        match word {
            "" => Ok(None),
            Self::AT_RISK => Ok(Some(Self::AtRisk)),
            Self::DOOMED => Ok(Some(Self::Doomed { left })),
            other => Err(Error::malformed("notice", other)),
        }
    }
}
