//! The queue's contract, against a real Redis.

mod access;
mod blame;
mod engines;
mod fairness;
mod fleet;
mod lease;
mod listing;
mod loss;
mod order;
mod outage;
mod outcome;
mod pool;
mod progress;
mod results;
mod setup;
