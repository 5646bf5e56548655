//! Decides how many GPU workers a pool should have, of what kind and where, and why.
//!
//! Everything here is pure: [`plan`] turns a snapshot ([`Seen`]), the owner's wishes ([`Policy`]) and what was
//! learned before ([`Memory`]) into [`Action`]s and a [`Report`]. Same input, same output: time is an argument.
//!
//! A plan is made in steps (`plan.rs`), a file each:
//!
//! | file | step |
//! |---|---|
//! | `signs.rs` | 1. pass on what the nodes' signals say |
//! | `learn.rs` (by `failures.rs`, `zones.rs`) | 2. learn who did not come up, where machines are short, how long things take |
//! | `demand.rs`, `inflow.rs` | 3. count the work in the order in which it is due, and what will come between |
//! | `supply.rs`, `gap.rs` (by `need.rs`, `schedule.rs`, `on_demand.rs`, `rollout.rs`) | 4. find when each worker is free, and what is missing for everything to be done in time |
//! | `start.rs` | 5. resume or start it: zone and model |
//! | `leave/` (by `idleness.rs`) | 6. let go of what is broken or not needed, a file for each reason |
//! | `eta.rs`, `report.rs`, `state.rs` | 7. say when the work will be done, and why all this |
//!
//! When to look again goes with what is done, and with what is not due yet (`action.rs`).
mod action;
mod demand;
mod estimates;
mod eta;
mod failures;
mod gap;
mod idleness;
mod inflow;
mod known;
mod learn;
mod leave;
mod memory;
mod need;
mod on_demand;
mod plan;
mod policy;
mod report;
mod rollout;
mod schedule;
mod seen;
mod signs;
mod start;
mod state;
mod supply;
mod time;
mod view;
mod why;
mod words;
mod zones;

pub use action::{Action, Decision};
pub use demand::Unserved;
pub use estimates::{Estimates, Sample};
pub use eta::{Eta, Forecast};
pub use idleness::IdleMeter;
pub use memory::{Failures, Held, Lack, Memory, Shortage};
pub use plan::{Plan, plan};
pub use policy::{Capacity, CapacityRule, Class, Fleet, Policy, Scaling};
pub use report::{Counts, Failing, Late, Report, Short};
pub use seen::{
    Backlog, Fault, Health, Machine, Order, Phase, Queue, Refused, Running, Seen, Template, Trouble, Worker,
    WorkerId,
};
pub use state::State;
pub use time::{Clock, Time};
pub use why::Why;
