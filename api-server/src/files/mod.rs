//! Files in the pools' buckets: what jobs made.

mod buckets;
mod download;
mod range;
mod signed;

pub(crate) use buckets::Buckets;
pub(crate) use download::{Served, download, find, of_store, read};
pub(crate) use signed::{ROUTE as SIGNED_ROUTE, Signed, signed_file, signed_url};
