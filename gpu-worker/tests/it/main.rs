//! The worker against recordings of a real engine, and as a whole against Redis, S3 and a simulated engine.

#![allow(clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod backing_trouble;
mod blame;
mod cleaning;
mod engine_facts;
mod engine_trouble;
mod ghosts;
mod hostile;
mod inputs;
mod inputs_lent;
mod inputs_tasks;
mod inputs_url;
mod inputs_worker;
mod kinds;
mod leaving;
mod listing;
mod notice;
mod outputs;
mod replay;
mod rig;
mod segments;
mod starting;
mod traces;
mod unreadable;
mod wire;
mod working;
