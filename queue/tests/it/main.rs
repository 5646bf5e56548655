//! The queue's contract, against a real Redis.

mod fleet;
mod lease;
mod order;
mod outcome;
mod results;
mod setup;
