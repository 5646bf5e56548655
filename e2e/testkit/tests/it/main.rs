//! The services do what a test relies on.
mod network;
mod processes;
mod redis;
mod s3;
