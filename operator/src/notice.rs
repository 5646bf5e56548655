//! What there is to tell about an object, as an Event.

use crds::events::EventReason;

/// Whether an Event tells of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Warning,
}

/// What to tell about an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notice {
    pub(crate) kind: Kind,
    pub(crate) reason: EventReason,
    /// What the operator did, CamelCase.
    pub(crate) action: &'static str,
    pub(crate) note: String,
}

impl Notice {
    pub(crate) fn normal(reason: EventReason, action: &'static str, note: String) -> Self {
        Self { kind: Kind::Normal, reason, action, note }
    }

    pub(crate) fn warning(reason: EventReason, action: &'static str, note: String) -> Self {
        Self { kind: Kind::Warning, reason, action, note }
    }
}
