//! The HTTP servers: connections, limits, draining; and what every request goes through.

pub(crate) mod body;
mod mount;
mod observe;
mod serve;
mod system;

pub(crate) use mount::Mount;
pub(crate) use observe::observe;
pub(crate) use serve::{StaysOpen, serve};
pub(crate) use system::routes as system_routes;
