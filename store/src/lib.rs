//! Stores finished images in one S3 (or compatible) bucket per worker pool.
//!
//! An image's key follows from its job and index alone, and an object is written only if it does not exist. So a second
//! attempt, or a worker that was thought dead, never makes a second picture or changes a published one; and an image
//! can be found without asking any service.

mod aws;
mod bounded;
mod bucket;
mod capabilities;
mod content;
mod credentials;
mod definitions;
mod error;
mod facts;
mod latent;
mod output;
mod read;
mod upload;

pub use aws::{Access, answer};
pub use bucket::{Found, Put, Store};
pub use capabilities::{Capabilities, Conditions};
pub use content::{BadPiece, Content, Pieces};
pub use credentials::Keys;
pub use error::{Error, Place, Result};
pub use facts::FileFacts;
pub use latent::Latent;
pub use output::Output;
pub use read::Reading;
pub use upload::Upload;
