//! Files of every kind: checked, stripped, cut, converted.
#![allow(clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod convert;
mod files;
mod handmade;
mod input;
mod reader;
