//! Where finished images live: one S3 (or compatible) bucket per worker pool.
//!
//! An image's key follows from its job and index alone, and an object is written only where there is none. So
//! a second attempt, or a worker that comes back from the dead, can never make a second picture nor change a
//! published one; and whoever looks for an image finds it without asking anybody.

mod abilities;
mod bucket;
mod credentials;
mod error;
mod facts;
mod latent;
mod output;

pub use abilities::{Abilities, Conditions};
pub use bucket::{Found, Put, Store};
pub use credentials::Keys;
pub use error::{Error, Place, Result};
pub use facts::ImageFacts;
pub use latent::Latent;
pub use output::Output;
