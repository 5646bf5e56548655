//! Each test holds one rule.
mod failures;
mod growing;
mod leaving;
mod reporting;
mod rollout;
mod shortages;
