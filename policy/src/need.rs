//! Finds the number of workers that suffices for all work to be done in time.
use crate::{
    Capacity,
    demand::Bucket,
    schedule::Schedule,
    supply::{Assumption, Slot, new_slot, start_seconds},
    view::View,
};

/// How close to its due time work may be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The plan keeps time in reserve to replace a lost worker.
    Soft,
    /// The plan keeps only the margin.
    Hard,
}

/// The question: how many more workers of this capacity are needed for these buckets to be done in time?
pub(crate) struct Question<'v, 'a> {
    pub(crate) view: &'v View<'a>,
    pub(crate) demand: &'v [Bucket<'a>],
    /// The existing workers.
    pub(crate) slots: Vec<Slot<'a>>,
    /// The capacity of the additional workers.
    pub(crate) capacity: Capacity,
    pub(crate) assumption: Assumption,
    pub(crate) limit: Limit,
    /// Selects the buckets that must be done in time; the others only take worker time.
    pub(crate) required: fn(&Bucket) -> bool,
    /// The largest number of additional workers.
    pub(crate) room: usize,
}

/// The number of additional workers, and whether it suffices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) n: usize,
    pub(crate) enough: bool,
}

/// The precision of a planned wait, in seconds.
const PRECISION: f64 = 1.0;

impl<'a> Question<'_, 'a> {
    /// The smallest number of workers that suffices if they are started after `after` seconds. It is never larger than
    /// the number of tasks. If no number suffices, the answer is all the workers for which workers is room.
    pub(crate) fn answer(&self, after: f64) -> Answer {
        let new = self.new_models();
        let (mut low, mut high) = (0, new.len() + 1);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.is_enough(&new[..middle], after) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Answer { n: low.min(new.len()), enough: low <= new.len() }
    }

    /// The first bucket that is not done in time without additional workers.
    pub(crate) fn first_missed(&self) -> Option<&Bucket<'a>> {
        self.first_missed_with(&[], 0.0)
    }

    /// Whether some task is late even on a worker that starts now.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.required_buckets().any(|b| self.is_late_anyway(b))
    }

    /// How long the start can wait without a larger number of workers, in seconds. It is 0 if some task is late in any
    /// case, because waiting makes it later still.
    pub(crate) fn slack(&self) -> f64 {
        let now = self.answer(0.0);
        if self.is_unreachable() || !now.enough {
            return 0.0;
        }
        let new = self.new_models();
        let latest = self.required_buckets().map(|b| self.view.seconds_until(b.due));
        let (mut low, mut high) = (0.0, latest.fold(0.0, f64::max));
        while high - low > PRECISION {
            let middle = f64::midpoint(low, high);
            if self.is_enough(&new[..now.n], middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The models of the additional workers, in the order in which the workers are added.
    pub(crate) fn new_models(&self) -> Vec<Option<&'a str>> {
        // The additional workers also do tasks that are not required in time, which may be due earlier.
        let tasks: u64 = self.demand.iter().filter(|b| b.rule.runs_on(self.capacity)).map(|b| b.tasks).sum();
        let n = self.room.min(usize::try_from(tasks).unwrap_or(usize::MAX));
        models(self.demand, &self.slots, self.capacity, n)
    }

    /// The buckets that must be done in time.
    fn required_buckets(&self) -> impl Iterator<Item = &Bucket<'a>> {
        self.demand.iter().filter(|bucket| !bucket.expected && (self.required)(bucket))
    }

    fn is_enough(&self, new: &[Option<&'a str>], after: f64) -> bool {
        self.first_missed_with(new, after).is_none()
    }

    fn first_missed_with(&self, new: &[Option<&'a str>], after: f64) -> Option<&Bucket<'a>> {
        let mut slots = self.slots.clone();
        for (model, workers) in workers_per_model(new) {
            let slot = new_slot(self.view, self.capacity, model, self.assumption, workers);
            slots.push(Slot { free_in: slot.free_in + after, ..slot });
        }
        let mut schedule = Schedule::new(slots);
        self.demand.iter().find(|bucket| {
            let done = schedule.place(bucket);
            !bucket.expected
                && (self.required)(bucket)
                && done.is_none_or(|done| done > self.deadline(bucket))
        })
    }

    /// The time at which a worker that starts now has done one task of the bucket, in seconds from now.
    fn earliest_done(&self, bucket: &Bucket) -> f64 {
        start_seconds(self.view, self.capacity, self.assumption) + bucket.load + bucket.each
    }

    fn hard_deadline(&self, bucket: &Bucket) -> f64 {
        let margin = self.view.policy.scaling.margin.as_secs_f64().min(bucket.sla / 4.0);
        self.view.seconds_until(bucket.due) - margin
    }

    fn is_late_anyway(&self, bucket: &Bucket) -> bool {
        self.earliest_done(bucket) > self.hard_deadline(bucket)
    }

    /// The deadline of a bucket, in seconds from now. It never moves earlier while time passes, so a plan that meets it
    /// goes on meeting it.
    fn deadline(&self, bucket: &Bucket) -> f64 {
        let (hard, earliest_done) = (self.hard_deadline(bucket), self.earliest_done(bucket));
        if self.is_late_anyway(bucket) {
            // No new worker can finish in time: the plan catches up within half a promise.
            return earliest_done + bucket.sla / 2.0;
        }
        match self.limit {
            Limit::Hard => hard,
            Limit::Soft => {
                let start = start_seconds(self.view, self.capacity, self.assumption);
                let reserve = start.min((bucket.sla - start).max(0.0) / 4.0);
                (hard - reserve).max(f64::midpoint(earliest_done, hard))
            }
        }
    }
}

/// The number of workers per model, in the order in which the models first appear.
pub(crate) fn workers_per_model<'a>(models: &[Option<&'a str>]) -> Vec<(Option<&'a str>, u64)> {
    let mut workers_per_model: Vec<(Option<&str>, u64)> = Vec::new();
    for model in models {
        match workers_per_model.iter_mut().find(|(known, _)| known == model) {
            Some((_, n)) => *n += 1,
            None => workers_per_model.push((*model, 1)),
        }
    }
    workers_per_model
}

/// The models of `n` new workers. Each gets the model with the most work per worker that has it.
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
                let workers = slots.iter().filter(|slot| slot.model == Some(bucket.model));
                loads.push((bucket.model, bucket.seconds(), workers.map(|slot| slot.workers).sum()));
            }
        }
    }
    (0..n)
        .map(|_| {
            let share = |(_, seconds, workers): &(&str, f64, u64)| seconds / (*workers as f64 + 1.0);
            // At equal shares, the model that is due first wins; it comes first in the list.
            let best = loads.iter_mut().rev().max_by(|a, b| share(a).total_cmp(&share(b)))?;
            best.2 += 1;
            Some(best.0)
        })
        .collect()
}
