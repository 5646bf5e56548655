//! Decides how many GPU workers a pool should have, of what kind and where, and why.
//!
//! Everything here is pure: [`plan`] turns a snapshot ([`Seen`]), the owner's wishes ([`Policy`]) and what was
//! learned before ([`Memory`]) into [`Action`]s and a [`Report`]. Same input, same output: time is an argument.
mod action;
mod estimates;
mod eta;
mod memory;
mod plan;
mod policy;
mod report;
mod seen;
mod time;

pub use action::{Action, Decision};
pub use estimates::{Estimates, Sample};
pub use eta::{Eta, Forecast, estimate};
pub use memory::{IdleMeter, Memory, Shortage};
pub use plan::{Plan, plan};
pub use policy::{Capacity, CapacityRule, Class, Fleet, Policy, Scaling};
pub use report::{Counts, Late, Report, State, Why};
pub use seen::{Backlog, Health, Order, Phase, Queue, Running, Seen, Worker, WorkerId};
pub use time::Time;
