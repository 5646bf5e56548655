use crate::{Error, Result};

/// What a worker learnt of its machine's end by itself. For the operator to act on; the queue only passes it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// It may be taken away.
    AtRisk,
    /// It will be taken away.
    Doomed {
        /// When the machine stops, ms since the Unix epoch.
        deadline_ms: u64,
    },
}

impl Notice {
    pub(crate) fn encode(self) -> String {
        match self {
            Self::AtRisk => "R".to_owned(),
            Self::Doomed { deadline_ms } => format!("D {deadline_ms}"),
        }
    }

    pub(crate) fn decode(text: &str) -> Result<Self> {
        if text == "R" {
            return Ok(Self::AtRisk);
        }
        let deadline = text.strip_prefix("D ").and_then(|deadline| deadline.parse().ok());
        deadline
            .map(|deadline_ms| Self::Doomed { deadline_ms })
            .ok_or_else(|| Error::malformed("notice", text))
    }
}
