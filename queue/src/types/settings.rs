use std::time::Duration;

/// What a pool's owner says of its queue; every claim goes by the latest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// No task is granted.
    pub suspended: bool,
    /// The classes that there are.
    pub classes: Vec<ClassSetting>,
}

/// One class of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassSetting {
    /// Its name.
    pub name: String,
    /// Its promise, by which a claim knows the more urgent of two classes.
    pub sla: Duration,
    /// The kinds of machines that serve it, as in [`Claim::capacity`](super::Claim::capacity).
    pub capacities: Vec<String>,
}
