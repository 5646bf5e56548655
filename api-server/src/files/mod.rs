//! Files in the pools' buckets: what jobs made.

mod buckets;
mod download;
mod range;

pub(crate) use buckets::Buckets;
pub(crate) use download::{download, find, read};
