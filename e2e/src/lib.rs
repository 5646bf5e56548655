//! The whole system on one machine: a real control plane, real Redis, an S3 server, machines that come and go,
//! the operator and the workers as they are deployed. For the demo, the end-to-end tests and the benchmarks.

mod cloud;
mod deploy;
mod jobs;
mod programs;
mod world;

pub use cloud::{CloudOptions, Machine};
pub use jobs::{Finished, MODEL, Studio, text_to_image};
pub use programs::Programs;
pub use world::{EngineOptions, World, WorldOptions, client};
