//! The input of every decision.
use crate::{demand::Demand, view::View, zones::Zones};

/// The snapshot after the learning step: workers, zones and work at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation<'v, 'a> {
    pub(crate) view: View<'a>,
    pub(crate) zones: &'v Zones,
    pub(crate) demand: &'v Demand<'a>,
}
