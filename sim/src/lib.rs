//! What scaling would cost and how late it would be, on recorded spot markets: a discrete-event simulation that runs
//! the real [`policy::plan`] and the queue's order of claims.
//!
//! | file | what |
//! |---|---|
//! | `arrivals.rs`, `generator.rs` | the work: from a CSV file, or made up from a seed |
//! | `market.rs`, `trace.rs` | spot machines: where and when they are to be had, for how much; recorded or made up |
//! | `lanes.rs` | the queue's order, held against the real scripts by a property test |
//! | `world/` | machines, workers and tasks, event by event |
//! | `contenders/` | who decides: the policy, KEDA, greedy spot, a static fleet |
//! | `bound.rs` | what nobody can stay below, whatever is known in advance |
//! | `study/`, `report.rs`, `plot.rs` | the standard set: its runs, its figures, its plots |
//! | `cli.rs` | the command line |
//!
//! Everything is a function of its inputs and a seed: the same gives the same, byte by byte.
mod arrivals;
mod bound;
pub mod cli;
mod contenders;
mod generator;
pub mod lanes;
mod market;
mod plot;
mod random;
mod report;
mod study;
mod trace;
mod world;
