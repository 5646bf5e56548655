//! What the policy's callers rely on.
mod properties;
mod rules;
mod scenarios;
mod story;
mod world;
