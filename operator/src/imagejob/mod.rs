//! ImageJobs, in pure steps: from what a user wrote and what the queue answers to what is done and told. Who takes the
//! steps is [`crate::planner::jobs`].
//!
//! | step | file |
//! |---|---|
//! | what comes next | `decide.rs` |
//! | what the user wrote becomes a job for the queue, or a problem | `validate.rs`, `work.rs`, `inputs.rs`, `limits.rs`, `fit.rs`, `segments.rs` |
//! | what the user reads | `status.rs`, `listing.rs`, `promise.rs` |
//! | when it is worth a write | `pace.rs` |
//! | the Events that tell of it | `notices.rs` |

pub(crate) mod decide;
mod fit;
pub(crate) mod inputs;
mod limits;
pub(crate) mod listing;
pub(crate) mod notices;
pub(crate) mod pace;
pub(crate) mod promise;
mod segments;
pub(crate) mod status;
pub(crate) mod validate;
mod work;
