//! The fault suite: what may go wrong is done to the system as it is deployed, and a checker looks at every job's
//! history from outside: API server, queue, bucket, Events and the engines' own records.

pub mod bad_worker;
pub mod changes;
pub mod clocks;
pub mod crash;
mod crew;
mod engine;
mod facts;
mod gate;
pub mod large;
mod machine;
pub mod memory;
pub mod never_up;
pub mod notices;
pub mod operators;
pub mod partition;
pub mod poison;
pub mod shares;
pub mod slow_api;
pub mod split_brain;
mod stand;
mod verdict;
pub mod wipe;
mod wire;
pub mod zone;

pub use engine::{HOPELESS, InstantEngine};
pub use facts::{Facts, Made, Object};
pub use gate::{Effects, Gate};
pub use stand::Stand;
pub use verdict::{Verdict, judge};
pub use wire::Wire;

use serde_json::Value;

use crate::text_to_image;

/// The spec of a job whose pictures no other job's are like, and the same each time: so what is made twice shows.
fn picture(prompt: &str, steps: u32, count: u32) -> Value {
    let mut spec = text_to_image(prompt, steps, count);
    spec["work"]["textToImage"]["seed"] = 7.into();
    spec
}
