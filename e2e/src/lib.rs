//! The whole system on one machine: a real control plane, real Redis, an S3 server, machines that come and go,
//! the operator and the workers as they are deployed. For the demo, the end-to-end tests and the benchmarks.

mod cloud;
mod deploy;
pub mod faults;
mod finished;
mod front;
mod graph;
mod jobs;
mod operator;
mod process;
mod programs;
mod services;
mod world;

pub use cloud::{CloudOptions, Machine, SpotTrace};
pub use finished::{Finished, in_time, ready};
pub use graph::{graph, picture, workflow};
pub use jobs::{Caught, MODEL, Studio, text_to_image};
pub use operator::{Operator, OperatorOptions};
pub use process::PodProcess;
pub use programs::Programs;
pub use world::{EngineOptions, World, WorldOptions, client};
