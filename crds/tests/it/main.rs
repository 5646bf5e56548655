//! The API as users and the operator meet it: on a real API server wherever one is needed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "how a test fails")]

mod admission;
mod argocd;
mod autoscalers;
mod crdgen;
mod docs;
mod every_field;
mod kubectl;
mod manifests;
mod objects;
mod policies;
mod round_trip;
mod schema;
mod server;
