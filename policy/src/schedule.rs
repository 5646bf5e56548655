//! The queue's order, foretold: tasks go to the workers that are free first, earliest due first.
use crate::{demand::Bucket, supply::Slot};

/// Workers and when each is free, as tasks are given to them.
#[derive(Debug, Clone)]
pub(crate) struct Schedule<'a> {
    slots: Vec<Slot<'a>>,
}

/// Finish times closer than this are one, seconds.
const RESOLUTION: f64 = 1e-3;
/// Up to so many tasks it is quicker to place them one by one.
const FEW: u64 = 12;

impl<'a> Schedule<'a> {
    pub(crate) fn new(slots: Vec<Slot<'a>>) -> Self {
        Self { slots }
    }

    /// Gives a bucket's tasks to the workers that are through with them first; says when the last is done,
    /// seconds from now (`None`: no worker may run it).
    pub(crate) fn place(&mut self, bucket: &Bucket<'a>) -> Option<f64> {
        if bucket.expected {
            return self.spend(bucket);
        }
        if bucket.tasks > FEW { self.place_many(bucket) } else { self.place_few(bucket) }
    }

    /// Work of which only the sum is known takes its part of every worker's time, the first free first.
    fn spend(&mut self, bucket: &Bucket<'a>) -> Option<f64> {
        let mut free: Vec<&mut Slot> =
            self.slots.iter_mut().filter(|slot| bucket.rule.runs_on(slot.capacity)).collect();
        free.sort_by(|a, b| a.free.total_cmp(&b.free));
        // All who are free before a common time work until then.
        let (mut sum, mut until) = (bucket.seconds(), 0.0);
        for (n, slot) in free.iter().enumerate() {
            if n > 0 && until <= slot.free {
                break;
            }
            sum += slot.free;
            until = sum / (n + 1) as f64;
        }
        free.iter_mut().for_each(|slot| slot.free = slot.free.max(until));
        (!free.is_empty()).then_some(until)
    }

    /// One task after another.
    fn place_few(&mut self, bucket: &Bucket<'a>) -> Option<f64> {
        let mut last = None;
        for _ in 0..bucket.tasks {
            let eligible = self.slots.iter_mut().filter(|slot| bucket.rule.runs_on(slot.capacity));
            // Among equals on-demand workers stay free for what only they may run.
            let first = eligible.min_by(|a, b| {
                finish(a, bucket, 1).total_cmp(&finish(b, bucket, 1)).then(a.capacity.cmp(&b.capacity))
            })?;
            first.free = finish(first, bucket, 1);
            first.model = Some(bucket.model);
            last = Some(last.map_or(first.free, |last: f64| last.max(first.free)));
        }
        last
    }

    /// All at once: as the tasks are alike, it is enough to find the earliest time by which all workers together
    /// manage as many.
    fn place_many(&mut self, bucket: &Bucket<'a>) -> Option<f64> {
        let done = self.earliest(bucket)?;
        let mut given: Vec<u64> = self.slots.iter().map(|slot| fits(slot, bucket, done)).collect();
        self.take_back(bucket, &mut given);
        for (slot, tasks) in self.slots.iter_mut().zip(given) {
            if tasks > 0 {
                slot.free = finish(slot, bucket, tasks);
                slot.model = Some(bucket.model);
            }
        }
        Some(done)
    }

    /// How many of a bucket's tasks all workers together manage in so many seconds.
    pub(crate) fn manages(&self, bucket: &Bucket, seconds: f64) -> u64 {
        self.slots.iter().map(|slot| fits(slot, bucket, seconds)).fold(0, u64::saturating_add)
    }

    fn earliest(&self, bucket: &Bucket) -> Option<f64> {
        let eligible = self.slots.iter().filter(|slot| bucket.rule.runs_on(slot.capacity));
        let mut low = eligible.map(|slot| slot.free).min_by(f64::total_cmp)?;
        let mut high = low + bucket.load + bucket.seconds() + RESOLUTION;
        while high - low > RESOLUTION {
            let middle = f64::midpoint(low, high);
            if self.manages(bucket, middle) >= bucket.tasks {
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(high)
    }

    /// Several workers may finish one at the last moment; those that aren't needed give it back.
    fn take_back(&self, bucket: &Bucket, given: &mut [u64]) {
        let mut over = given.iter().sum::<u64>().saturating_sub(bucket.tasks);
        while over > 0 {
            let last = (0..given.len()).filter(|i| given[*i] > 0).max_by(|a, b| {
                let (a_done, b_done) =
                    (finish(&self.slots[*a], bucket, given[*a]), finish(&self.slots[*b], bucket, given[*b]));
                // Among equals on-demand workers stay free for what only they may run.
                a_done.total_cmp(&b_done).then(self.slots[*a].capacity.cmp(&self.slots[*b].capacity))
            });
            let Some(last) = last else { return };
            given[last] -= 1;
            over -= 1;
        }
    }
}

/// How many of a bucket's tasks one worker manages in so many seconds.
fn fits(slot: &Slot, bucket: &Bucket, seconds: f64) -> u64 {
    if !bucket.rule.runs_on(slot.capacity) {
        return 0;
    }
    // `as` saturates: nothing below zero, and more than there are is enough.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let tasks = ((seconds - finish(slot, bucket, 0)) / bucket.each) as u64;
    tasks.min(bucket.tasks)
}

/// When a worker is through with so many of a bucket's tasks.
fn finish(slot: &Slot, bucket: &Bucket, tasks: u64) -> f64 {
    let load = if slot.model == Some(bucket.model) { 0.0 } else { bucket.load };
    slot.free + load + tasks as f64 * bucket.each
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Capacity, CapacityRule, Time};

    fn bucket(tasks: u64, each: f64) -> Bucket<'static> {
        let (class, model, rule, due) = ("standard", "m", CapacityRule::SpotThenOnDemand, Time::default());
        Bucket { class, model, rule, sla: 300.0, due, tasks, each, load: 10.0, expected: false }
    }

    fn slot(free: f64, model: Option<&'static str>) -> Slot<'static> {
        Slot { capacity: Capacity::Spot, free, model }
    }

    fn near(got: Option<f64>, want: f64) {
        assert!(got.is_some_and(|got| (got - want).abs() < 0.01), "{got:?} instead of {want}");
    }

    #[test]
    fn tasks_are_whole() {
        let mut two = Schedule::new(vec![slot(0.0, Some("m")), slot(0.0, Some("m"))]);
        near(two.place(&bucket(3, 8.0)), 16.0);
        near(two.place(&bucket(1, 8.0)), 16.0);
        near(two.place(&bucket(1, 8.0)), 24.0);
    }

    #[test]
    fn few_and_many_come_out_alike() {
        for tasks in 1..40 {
            let slots =
                vec![slot(0.0, Some("m")), slot(3.0, None), slot(50.0, Some("m")), slot(9.0, Some("x"))];
            let (mut few, mut many) = (Schedule::new(slots.clone()), Schedule::new(slots));
            let bucket = bucket(tasks, 7.0);
            near(few.place_few(&bucket), many.place_many(&bucket).unwrap_or(-1.0));
            let frees = |schedule: &Schedule| schedule.slots.iter().map(|slot| slot.free).sum::<f64>();
            assert!((frees(&few) - frees(&many)).abs() < 0.1, "{tasks} tasks");
        }
    }

    #[test]
    fn the_worker_with_the_model_comes_first_while_it_is_quicker() {
        let mut two = Schedule::new(vec![slot(0.0, Some("other")), slot(5.0, Some("m"))]);
        near(two.place(&bucket(1, 8.0)), 13.0);
        near(two.place(&bucket(1, 8.0)), 18.0);
    }

    #[test]
    fn spot_never_runs_what_is_for_on_demand_only() {
        let immediate = Bucket { rule: CapacityRule::OnDemand, ..bucket(1, 8.0) };
        assert_eq!(Schedule::new(vec![slot(0.0, None)]).place(&immediate), None);
    }
}
