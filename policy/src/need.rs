//! How many workers it takes for the work to be done in time.
use crate::{
    Capacity,
    demand::Bucket,
    schedule::Schedule,
    supply::{Prospect, Slot, fresh, start_seconds},
    view::View,
};

/// How close to the due time work may be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// With time in reserve to replace a lost worker.
    Soft,
    /// With the margin only.
    Hard,
}

/// "How many more workers of this capacity, so that these buckets are done in time?"
pub(crate) struct Question<'v, 'a> {
    pub(crate) view: &'v View<'a>,
    pub(crate) demand: &'v [Bucket<'a>],
    /// Workers there are.
    pub(crate) slots: Vec<Slot<'a>>,
    /// Capacity of the new ones.
    pub(crate) capacity: Capacity,
    pub(crate) prospect: Prospect,
    pub(crate) limit: Limit,
    /// The buckets that must be done in time; the others only take their turn.
    pub(crate) asks: fn(&Bucket) -> bool,
    /// At most so many.
    pub(crate) room: usize,
}

/// How many more, and whether that is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) n: usize,
    pub(crate) enough: bool,
}

/// A decision to wait is as precise as this, seconds.
const PRECISION: f64 = 1.0;

impl<'a> Question<'_, 'a> {
    /// The fewest that do, were they started after so many seconds. Never more than there are tasks; all there
    /// is room for when nothing is enough.
    pub(crate) fn answer(&self, after: f64) -> Answer {
        let new = self.new_models();
        let (mut low, mut high) = (0, new.len() + 1);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.does(&new[..middle], after) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Answer { n: low.min(new.len()), enough: low <= new.len() }
    }

    /// The first bucket that is not done in time without new workers.
    pub(crate) fn misses(&self) -> Option<&Bucket<'a>> {
        self.first_miss(&[], 0.0)
    }

    /// Whether some task can't be made in time by any new worker.
    pub(crate) fn too_late(&self) -> bool {
        self.asking().any(|b| self.is_late(b))
    }

    /// How long one can wait before as many workers do no more, seconds. Nothing when some task is late whatever
    /// is done: waiting would make it later still.
    pub(crate) fn slack(&self) -> f64 {
        let now = self.answer(0.0);
        if self.too_late() || !now.enough {
            return 0.0;
        }
        let new = self.new_models();
        let latest = self.asking().map(|b| self.view.until(b.due));
        let (mut low, mut high) = (0.0, latest.fold(0.0, f64::max));
        while high - low > PRECISION {
            let middle = f64::midpoint(low, high);
            if self.does(&new[..now.n], middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The models of the new workers, in the order in which they'd be added.
    pub(crate) fn new_models(&self) -> Vec<Option<&'a str>> {
        // Those that do not ask are done by the new workers too, and may be due before those that do.
        let tasks: u64 = self.demand.iter().filter(|b| b.rule.runs_on(self.capacity)).map(|b| b.tasks).sum();
        let n = self.room.min(usize::try_from(tasks).unwrap_or(usize::MAX));
        models(self.demand, &self.slots, self.capacity, n)
    }

    /// The buckets that must be done in time.
    fn asking(&self) -> impl Iterator<Item = &Bucket<'a>> {
        self.demand.iter().filter(|bucket| !bucket.expected && (self.asks)(bucket))
    }

    fn does(&self, new: &[Option<&'a str>], after: f64) -> bool {
        self.first_miss(new, after).is_none()
    }

    fn first_miss(&self, new: &[Option<&'a str>], after: f64) -> Option<&Bucket<'a>> {
        let mut slots = self.slots.clone();
        for (model, workers) in counted(new) {
            let slot = fresh(self.view, self.capacity, model, self.prospect, workers);
            slots.push(Slot { free: slot.free + after, ..slot });
        }
        let mut schedule = Schedule::new(slots);
        self.demand.iter().find(|bucket| {
            let done = schedule.place(bucket);
            !bucket.expected && (self.asks)(bucket) && done.is_none_or(|done| done > self.target(bucket))
        })
    }

    /// When a new worker would have done one task of the bucket, seconds from now.
    fn first_done(&self, bucket: &Bucket) -> f64 {
        start_seconds(self.view, self.capacity, self.prospect) + bucket.load + bucket.each
    }

    fn hard(&self, bucket: &Bucket) -> f64 {
        let margin = self.view.policy.scaling.margin.as_secs_f64().min(bucket.sla / 4.0);
        self.view.until(bucket.due) - margin
    }

    fn is_late(&self, bucket: &Bucket) -> bool {
        self.first_done(bucket) > self.hard(bucket)
    }

    /// By when a bucket should be done, seconds from now. As time passes this never comes closer than it passes,
    /// so a plan that holds goes on holding.
    fn target(&self, bucket: &Bucket) -> f64 {
        let (hard, first_done) = (self.hard(bucket), self.first_done(bucket));
        if self.is_late(bucket) {
            // No new worker can make it: catch up within half a promise.
            return first_done + bucket.sla / 2.0;
        }
        match self.limit {
            Limit::Hard => hard,
            Limit::Soft => {
                let start = start_seconds(self.view, self.capacity, self.prospect);
                let reserve = start.min((bucket.sla - start).max(0.0) / 4.0);
                (hard - reserve).max(f64::midpoint(first_done, hard))
            }
        }
    }
}

/// How many of each model, in the order in which they first come.
pub(crate) fn counted<'a>(models: &[Option<&'a str>]) -> Vec<(Option<&'a str>, u64)> {
    let mut counted: Vec<(Option<&str>, u64)> = Vec::new();
    for model in models {
        match counted.iter_mut().find(|(known, _)| known == model) {
            Some((_, n)) => *n += 1,
            None => counted.push((*model, 1)),
        }
    }
    counted
}

/// A model for each of `n` new workers: the one with the most work per worker that has it, one after another.
pub(crate) fn models<'a>(
    demand: &[Bucket<'a>],
    slots: &[Slot<'a>],
    capacity: Capacity,
    n: usize,
) -> Vec<Option<&'a str>> {
    let mut loads: Vec<(&str, f64, u64)> = Vec::new();
    for bucket in demand.iter().filter(|b| b.rule.runs_on(capacity) && !b.model.is_empty()) {
        match loads.iter_mut().find(|(model, ..)| *model == bucket.model) {
            Some((_, seconds, _)) => *seconds += bucket.seconds(),
            None => {
                let there = slots.iter().filter(|slot| slot.model == Some(bucket.model));
                loads.push((bucket.model, bucket.seconds(), there.map(|slot| slot.workers).sum()));
            }
        }
    }
    (0..n)
        .map(|_| {
            let share = |(_, seconds, there): &(&str, f64, u64)| seconds / (*there as f64 + 1.0);
            // Among equals the one that is due first, which stands first.
            let best = loads.iter_mut().rev().max_by(|a, b| share(a).total_cmp(&share(b)))?;
            best.2 += 1;
            Some(best.0)
        })
        .collect()
}
