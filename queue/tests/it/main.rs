//! The queue's contract, against a real Redis.

mod fleet;
mod lease;
mod order;
mod outage;
mod outcome;
mod results;
mod setup;
