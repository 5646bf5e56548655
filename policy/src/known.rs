//! All that a decision goes by.
use crate::{demand::Demand, view::View, zones::Zones};

/// One moment after it was looked at: who is there, where machines are to be had, what is to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'v, 'a> {
    pub(crate) view: View<'a>,
    pub(crate) zones: &'v Zones,
    pub(crate) demand: &'v Demand<'a>,
}
