//! The simulator against recordings of the real thing, and its own faults.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod client;
mod families;
mod faults;
mod http_faults;
mod inputs;
mod limits;
mod metadata;
mod not_a_number;
mod object_info;
mod outputs;
mod program;
mod recordings;
mod routes;
mod segments;
mod sockets;
