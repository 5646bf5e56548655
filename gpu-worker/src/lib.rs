//! The worker beside the engine: takes image tasks from the queue, has ComfyUI generate them, stores the
//! pictures, and says so. Knows nothing of Kubernetes: it runs wherever a ComfyUI does.
//!
//! Loops that share a [`worker::Worker`] and wait for nothing of each other:
//! - [`claiming`] takes tasks, early enough that the GPU never waits, and runs each as a [`task`];
//! - [`heartbeat`] renews the leases and hears orders;
//! - [`notice`] hears of the machine's end before anyone else does, where its cloud tells it;
//! - [`drain`] hands back what won't be done in time once the machine has to go;
//! - [`comfyui::Engine::keep_connected`] keeps the socket to the engine;
//! - [`health`] tells the world.

mod backoff;
mod claiming;
pub mod comfyui;
mod config;
mod deliver;
mod drain;
mod duty;
mod ending;
mod graph;
mod health;
mod heartbeat;
mod held;
mod image;
mod latents;
mod metrics;
mod notice;
mod pace;
mod sampling;
mod start;
mod task;
mod text;
mod worker;

pub use config::{Capacity, Config, LogFormat, Metadata};
pub use start::run;
