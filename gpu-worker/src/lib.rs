//! The worker beside the engine: takes image tasks from the queue, has ComfyUI generate them, stores the files, and
//! reports them. Knows nothing of Kubernetes: it runs wherever a ComfyUI does.
//!
//! Loops that share a [`worker::Worker`] and wait for nothing of each other:
//! - [`claiming`] takes tasks, early enough that the GPU never waits, and runs each as a [`task`];
//! - [`heartbeat`] renews the leases, says how the worker is and hears orders;
//! - [`notice`] hears of the machine's end before anyone else does, where its cloud tells it;
//! - [`drain`] hands back what won't be done in time once the machine has to go;
//! - [`comfyui::Engine::keep_connected`] keeps the socket to the engine;
//! - [`orphans`] clears what workers that are gone have left in the engine;
//! - [`engine_facts`] tells the queue what the engine has;
//! - [`health`] shows all of that to the world.
//!
//! A task's way: [`task`] reads what is to be done, [`inputs`] gives the engine the files that it starts from, [`graph`]
//! makes a graph of it and [`cut`] cuts its sampling, [`comfyui`] runs it, [`collect`] and [`deliver`] bring what it made
//! to the bucket under the names that [`names`] gives, [`ending`] says what came of it, [`report`] tells the queue.

mod backoff;
mod breaker;
mod claiming;
mod collect;
pub mod comfyui;
mod config;
mod cut;
mod deliver;
mod drain;
mod duty;
mod ending;
mod engine_facts;
mod graph;
mod health;
mod heartbeat;
mod held;
pub mod inputs;
mod latents;
mod listing;
mod metrics;
mod names;
mod notice;
mod orphans;
mod pace;
mod report;
mod spans;
mod start;
mod task;
mod text;
mod worker;

pub use config::{Capacity, Config, Given, LogFormat, Metadata, Secret};
pub use start::run;
