//! Decides how many GPU workers a pool should have, of what kind and where, and why.
//!
//! Everything here is pure: [`plan`] turns a snapshot ([`Seen`]), the owner's wishes ([`Policy`]) and what was
//! learned before ([`Memory`]) into [`Action`]s and a [`Report`]. Same input, same output: time is an argument.
//!
//! A plan is made in steps, a file each:
//!
//! | file | step |
//! |---|---|
//! | `health.rs` | heed what the nodes' signals say |
//! | `zones.rs`, `idle.rs` | learn where spot is short, and how much the fleet sits idle |
//! | `demand.rs`, `inflow.rs` | the work, in the order in which it is due, and what will come between |
//! | `supply.rs` | when each worker is free |
//! | `gap.rs` (by `need.rs`, `schedule.rs`) | what is missing for everything to be done in time |
//! | `start.rs` | start it: zone and model |
//! | `retire.rs` (by `on_demand.rs`) | let go of what isn't needed |
//! | `eta.rs`, `report.rs`, `wake.rs` | when the work will be done, why all this, when to look again |
mod action;
mod demand;
mod estimates;
mod eta;
mod gap;
mod health;
mod idle;
mod inflow;
mod memory;
mod need;
mod on_demand;
mod plan;
mod policy;
mod report;
mod retire;
mod schedule;
mod seen;
mod start;
mod supply;
mod time;
mod view;
mod wake;
mod why;
mod zones;

pub use action::{Action, Decision};
pub use estimates::{Estimates, Sample};
pub use eta::{Eta, Forecast};
pub use memory::{IdleMeter, Memory, Shortage};
pub use plan::{Plan, plan};
pub use policy::{Capacity, CapacityRule, Class, Fleet, Policy, Scaling};
pub use report::{Counts, Late, Report, State};
pub use seen::{Backlog, Health, Order, Phase, Queue, Running, Seen, Worker, WorkerId};
pub use time::Time;
pub use why::Why;
