//! Graphs against the node definitions of a real engine.

mod checks;
mod recorded;
mod shipped;
