//! A simulator of a ComfyUI server, true to recordings of a real one in what goes over the wire: routes, validation,
//! order of frames, caching, files, errors, and the weaknesses a client has to live with. What it does not have is a
//! model: it paints a small landscape whose shapes and colours come from the words, the model and the seed.
//!
//! Time passes as [`Timing`] says, and things go wrong as [`Fault`]s say.
mod catalog;
mod faults;
mod files;
mod http;
mod http_files;
mod latent;
mod nodes;
mod noise;
mod options;
mod order;
mod picture;
mod python;
mod queue;
mod record;
mod report;
mod run;
mod sampler;
mod scene;
mod server;
mod signature;
mod sim;
mod sockets;
mod validate;

pub use faults::{Fault, FaultKind};
pub use options::{Options, Previews, Timing};
pub use server::Stats;
pub use sim::Sim;
