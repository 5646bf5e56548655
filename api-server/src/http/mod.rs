//! The HTTP servers: connections, limits, draining; and what every request goes through.

pub(crate) mod body;
mod held;
mod ignored;
mod mount;
mod observe;
mod rest;
mod serve;
mod system;

pub(crate) use held::held;
pub(crate) use ignored::tell_ignored;
pub(crate) use mount::Mount;
pub(crate) use observe::observe;
pub(crate) use rest::read_the_rest;
pub(crate) use serve::{StaysOpen, serve};
pub(crate) use system::routes as system_routes;

use axum::http::HeaderName;

/// With the value `no`, proxies such as nginx hold nothing back.
pub(crate) const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
