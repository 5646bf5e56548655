//! Tests of the behaviour that the policy's callers rely on.
mod cost;
mod fixtures;
mod properties;
mod rules;
mod scenarios;
mod story;
mod world;
mod worlds;
