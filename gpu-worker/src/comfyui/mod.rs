//! The engine: a ComfyUI server on this machine, spoken to over HTTP and one WebSocket.
//!
//! The wire protocol promises less than it seems to. What this module relies on:
//! - the end of a prompt is `executing` with no node and its id; only then is `/history` complete;
//! - nothing is replayed to a new connection, and a client id used twice goes deaf: every connection gets an id
//!   of its own, and `/history` and `/queue` are asked now and then whatever the socket says;
//! - a POST that failed may have been queued all the same: look before trying again;
//! - an answer of 200 may carry node errors, and history says `error` for an interrupted prompt too;
//! - answers are Python's JSON, which is not everybody's ([`python`]);
//! - what was made stays: files, history and queue are ours to clean up ([`cleaning`]).

mod cleaning;
mod client;
mod definitions;
mod download;
mod engine;
mod error;
mod event;
mod failure;
mod generate;
mod history;
mod inspect;
mod mark;
mod outline;
mod outputs;
mod progress;
mod python;
mod refusal;
mod socket;
mod version;

pub use client::Client;
pub use definitions::Model;
pub use download::Download;
pub use engine::{Engine, State};
pub use error::Error;
pub use failure::{Failure, Kind};
pub use generate::{Generated, Prompt, Trouble};
pub use mark::Mark;
pub use outline::Nodes;
pub use outputs::{Content, File, Output};
pub use progress::{Phase, Progress, Saved, Segment, Steps};
pub use refusal::Refusal;
pub use version::About;

/// A prompt's name in the engine: a random lowercase UUID.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PromptId(String);

impl PromptId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }

    /// As it goes over the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for PromptId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

impl std::fmt::Display for PromptId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
