//! The fault suite: what may go wrong is done to the system as it is deployed, and a checker looks at every job's
//! history from outside: API server, queue, bucket, Events and the engines' own records.

pub mod crash;
mod engine;
mod facts;
mod gate;
mod machine;
pub mod notices;
pub mod operators;
pub mod partition;
mod stand;
mod verdict;
mod wire;
pub mod zone;

pub use engine::{HOPELESS, InstantEngine};
pub use facts::{Facts, Made, Object};
pub use gate::{Effects, Gate};
pub use stand::Stand;
pub use verdict::{Verdict, judge};
pub use wire::Wire;
