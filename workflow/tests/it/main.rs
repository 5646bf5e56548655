//! Graphs against the node definitions of a real engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "how a test fails")]

mod checks;
mod docs;
mod recorded;
mod shipped;
