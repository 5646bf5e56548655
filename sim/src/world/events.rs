//! What happens, in the order of time; at one time in the order in which it was foreseen.
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use policy::Time;

use crate::lanes::Grant;

/// Something that happens. Workers go by their numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Event {
    /// The next task is asked for.
    Arrive,
    /// A worker's Pod asks for a machine.
    Ask(u32),
    /// A worker is up.
    Ready(u32),
    /// A worker is through with a task.
    Done(u32, Grant),
    /// A zone has more machines.
    Offer { zone: usize, machines: u32 },
    /// Notice that a zone will have fewer.
    Loss { zone: usize, from: u32, to: u32 },
    /// A worker's machine stops, as it was told.
    Stop(u32),
    /// All machines of a zone are gone without notice.
    Strike { zone: usize },
    /// A worker was not heard of for so long that its lease, if it had one, has ended.
    Silence(u32, Option<Grant>),
    /// Time to write down how things are.
    Moment,
    /// Time to plan.
    Plan,
}

#[derive(Debug, Default)]
pub(super) struct Events {
    order: BinaryHeap<Reverse<(Time, u64)>>,
    events: BTreeMap<u64, Event>,
    next: u64,
}

impl Events {
    pub(super) fn push(&mut self, at: Time, event: Event) {
        self.order.push(Reverse((at, self.next)));
        self.events.insert(self.next, event);
        self.next += 1;
    }

    pub(super) fn pop(&mut self) -> Option<(Time, Event)> {
        let Reverse((at, number)) = self.order.pop()?;
        self.events.remove(&number).map(|event| (at, event))
    }
}
