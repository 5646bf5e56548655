//! Why a task did not work, and whose fault that was: the one list of reasons that workers, queue and operator share.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Whose fault it was that a task, or a worker, does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// The task's: it fails wherever it runs.
    Task,
    /// The worker's: another one may make it.
    Worker,
    /// The machine's, or that of an engine on it: it should be replaced.
    Machine,
    /// That of what all workers of the pool share, such as the bucket: more machines do not help.
    Pool,
    /// Nobody's, such as a machine that is taken away.
    Nobody,
}

/// Writes the enum, its names and its faults from one table.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident: $fault:ident,)+) => {
        /// Why a task did not work. Its name is what users, metrics and scripts see.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its name: `EngineRejected`, …
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// Whose fault it is, as far as the reason alone tells.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self {
                    $(Self::$name => Fault::$fault,)+
                }
            }
        }
    };
}

reasons! {
    /// What the queue holds is no task.
    BadPayload: Task,
    /// The job's record in the queue can't be read.
    MalformedJob: Task,
    /// The engine refuses the graph.
    EngineRejected: Task,
    /// An input file is not allowed, not there, or not what it has to be.
    InputRefused: Task,
    /// An input file can't be fetched now.
    InputUnavailable: Task,
    /// A node raised an exception.
    EngineError: Task,
    /// The engine ended under it again and again.
    EngineCrashed: Task,
    /// Even with an empty GPU there is too little memory.
    OutOfMemory: Task,
    /// It took longer than the job allows.
    Timeout: Task,
    /// The graph runs and makes no file.
    NoOutput: Task,
    /// Every pixel of its images is black.
    BlackImage: Task,
    /// An output is larger than a worker can store.
    OutputTooLarge: Task,
    /// An output that the engine lists can't be fetched, or is not whole.
    OutputLost: Task,
    /// A picture can't be written in the format that the job asks for.
    NotConverted: Task,
    /// Its machine went away so often that the task must be why.
    TooManyInterruptions: Task,
    /// Tasks fail on this worker that other workers make, or those of several jobs in a row.
    WorkerUnhealthy: Worker,
    /// The engine's GPU context is lost, a prompt can't be stopped, or its history can't be read.
    EngineUnhealthy: Worker,
    /// The disk of the engine or of the worker is full, or can't be read or written.
    DiskFull: Machine,
    /// The engine does not come up, or does not answer.
    EngineDown: Machine,
    /// The engine's version is older than the oldest one that workers can use.
    EngineTooOld: Pool,
    /// The bucket refuses the credentials.
    OutputDenied: Pool,
    /// The bucket does not exist.
    OutputMissing: Pool,
    /// The bucket can't be reached, or answers what no bucket answers.
    OutputFailed: Pool,
    /// A reason that this program does not know: a newer one gave it.
    Other: Task,
}

impl Reason {
    /// Reads a name; an unknown one is [`Reason::Other`].
    #[must_use]
    pub fn parse(name: &str) -> Self {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == name).unwrap_or(Self::Other)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&String::deserialize(deserializer)?))
    }
}

/// Why a task failed, for its user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskError {
    /// For machines.
    pub reason: Reason,
    /// For people, at most 1 KiB.
    pub message: String,
}

/// Why a worker does not take tasks, as its heartbeats say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// For machines.
    pub reason: Reason,
    /// For people, at most 1 KiB.
    pub message: String,
}

impl Trouble {
    /// Whose fault it is. [`Fault::Worker`] and [`Fault::Machine`]: replace the worker. [`Fault::Pool`]: do not
    /// start more of them.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        self.reason.fault()
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Reason, TaskError};

    #[test]
    fn a_reason_is_its_name_and_an_unknown_name_is_another_reason() {
        for reason in Reason::ALL {
            let json = serde_json::to_string(reason).unwrap();
            assert_eq!(json, format!("\"{reason}\""));
            assert_eq!(serde_json::from_str::<Reason>(&json).unwrap(), *reason);
        }
        let newer = r#"{"reason": "MoonInTheWay", "message": "wait"}"#;
        let read: TaskError = serde_json::from_str(newer).unwrap();
        assert_eq!((read.reason, read.reason.fault()), (Reason::Other, Fault::Task));
    }
}
