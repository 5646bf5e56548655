//! The simulator against recordings of the real thing, and its own faults.
mod client;
mod faults;
mod program;
mod recordings;
mod segments;
mod sockets;
