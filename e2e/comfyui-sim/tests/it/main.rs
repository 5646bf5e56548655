//! The simulator against recordings of the real thing, and its own faults.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod client;
mod faults;
mod http_faults;
mod limits;
mod not_a_number;
mod outputs;
mod program;
mod recordings;
mod routes;
mod segments;
mod sockets;
