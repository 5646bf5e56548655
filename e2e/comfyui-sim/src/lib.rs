//! A simulator of a ComfyUI server. Its protocol is checked against recordings of a real server: routes, validation,
//! order of frames, caching, files, errors, and the weaknesses that a client has to handle. It has no model: it paints
//! a small landscape whose shapes and colours follow from the prompt, the model and the seed.
//!
//! [`Timing`] sets the durations of the work, and [`Fault`]s make it fail.
mod catalog;
mod exception;
mod fault_effects;
mod faults;
mod files;
mod formats;
mod http;
mod http_faults;
mod http_files;
mod http_models;
mod latent;
mod mask;
mod memory;
mod nodes;
mod noise;
mod options;
mod order;
mod picture;
mod png_file;
mod python;
mod python_json;
mod queue;
mod record;
mod report;
mod run;
mod sampler;
mod samplings;
mod scene;
mod server;
mod signature;
mod sim;
mod slow_nodes;
mod sockets;
mod validate;

pub use faults::{Answer, Fault, FaultKind};
pub use files::InputFile;
pub use options::{Folders, Machine, Options, Previews, Release, Timing};
pub use server::Stats;
pub use sim::Sim;
