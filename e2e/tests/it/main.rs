//! The whole system, as deployed, on real parts.

mod main_job;
