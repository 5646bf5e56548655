//! Decides how many GPU workers a pool has, on which capacity and in which zones, and why.
//!
//! The crate is pure: [`plan`] turns a snapshot ([`Seen`]), the owner's settings ([`Policy`]) and what earlier plans
//! learned ([`Memory`]) into [`Action`]s and a [`Report`]. The same input gives the same output: the time is an
//! argument.
//!
//! [`plan`] makes a plan in steps. Each step has a file:
//!
//! | file | step |
//! |---|---|
//! | `signs.rs` | 1. pass the nodes' signs on to the workers |
//! | `learn.rs` (with `failures.rs`, `zones.rs`) | 2. learn which workers failed, which zones are short of machines, how long things take |
//! | `demand.rs`, `inflow.rs` | 3. count the work in the order of its due times, and what will arrive in between |
//! | `supply.rs`, `gap.rs` (with `need.rs`, `schedule.rs`, `on_demand.rs`, `rollout.rs`) | 4. find when each worker is free, and how many workers are missing for all work to be done in time |
//! | `start.rs` | 5. resume held workers or start new ones, each in a zone and with a model |
//! | `leave/` (with `idleness.rs`) | 6. remove broken workers and those that are not needed; each reason has a file |
//! | `eta.rs`, `report.rs`, `state.rs` | 7. forecast when the work will be done, and report why |
//!
//! `action.rs` holds the result: the actions, and the time at which the next plan is due.
mod action;
mod demand;
mod estimates;
mod eta;
mod failures;
mod gap;
mod idleness;
mod inflow;
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
mod situation;
mod start;
mod state;
mod supply;
mod text;
mod time;
mod view;
mod why;
mod zones;

pub use action::{Action, Decision};
pub use demand::Unserved;
pub use estimates::{Estimates, Sample};
pub use eta::{Eta, Forecast};
pub use idleness::IdleMeter;
pub use memory::{Failures, HoldReason, Lack, Memory, Shortage};
pub use plan::{Plan, plan};
pub use policy::{Capacity, CapacityRule, Class, Fleet, Policy, Scaling};
pub use report::{Counts, Failing, Late, Report, ZoneShortage};
pub use seen::{
    Backlog, Fault, Health, Machine, Order, Phase, Queue, Refused, Running, Seen, Template, Trouble, Worker,
    WorkerId,
};
pub use state::State;
pub use time::{Clock, Time};
pub use why::Why;
