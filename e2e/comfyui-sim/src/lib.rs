//! A simulator of a ComfyUI server, true to recordings of a real one in what goes over the wire: routes, validation,
//! order of frames, caching, files, errors, and the weaknesses a client has to live with. What it does not have is a
//! model: it paints a small landscape whose shapes and colours come from the words, the model and the seed.
//!
//! Time passes as [`Timing`] says, and things go wrong as [`Fault`]s say.
mod catalog;
mod exception;
mod fault_effects;
mod faults;
mod files;
mod formats;
mod http;
mod http_faults;
mod http_files;
mod latent;
mod memory;
mod nodes;
mod noise;
mod options;
mod order;
mod picture;
mod python;
mod python_json;
mod queue;
mod record;
mod report;
mod run;
mod sampler;
mod scene;
mod server;
mod signature;
mod sim;
mod slow_nodes;
mod sockets;
mod validate;

pub use faults::{Answer, Fault, FaultKind};
pub use options::{Folders, Machine, Options, Previews, Timing};
pub use server::Stats;
pub use sim::Sim;
