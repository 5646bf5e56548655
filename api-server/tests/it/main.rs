//! The API server's program, on a real Kubernetes API server and a real Redis.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

mod a1111;
mod auth;
mod clients;
mod comfy_v2;
mod engine;
mod events;
mod files;
mod jobs;
mod keys;
mod limits;
mod maker;
mod moto;
mod native;
mod oidc;
mod openai;
mod page;
mod pools;
mod rig;
mod runpod;
mod sqs;
mod traces;
mod trouble;
mod uploads;
mod webhooks;
