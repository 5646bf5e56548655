//! WorkerPools, in pure steps: from what a pool's owner asks for and what is seen of it to the Pods of its workers, its
//! status and its accounts. Who takes the steps is [`crate::planner::fleet`].
//!
//! | step | file |
//! |---|---|
//! | workers, machines and queue, put together | `observe.rs` |
//! | the owner's spec, as the policy takes it | `policy.rs` |
//! | the Pod of one worker, and when it is made from another spec than now | `pod.rs`, `template.rs` |
//! | whose machine autoscalers must leave alone | `protection.rs` |
//! | when the work should be done, job by job | `outlook.rs` |
//! | what it costs | `prices.rs`, `ledger.rs` |
//! | what the owner reads | `status.rs`, `engines.rs`, `shortages.rs`, `unhealthy.rs` |

pub(crate) mod engines;
pub(crate) mod ledger;
pub(crate) mod observe;
pub(crate) mod outlook;
pub(crate) mod pod;
pub(crate) mod policy;
pub(crate) mod prices;
pub(crate) mod protection;
pub(crate) mod shortages;
pub(crate) mod status;
pub(crate) mod template;
pub(crate) mod unhealthy;
