//! One rule, one test.
mod failures;
mod growing;
mod leaving;
mod reporting;
mod rollout;
mod shortages;
