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
        let ready = self.ready(bucket);
        let mut free = ready.clone();
        let done = if bucket.tasks > FEW {
            self.place_many(bucket, &mut free)
        } else {
            self.place_few(bucket, &mut free)
        };
        for ((slot, before), after) in self.slots.iter_mut().zip(ready).zip(free) {
            if after > before {
                (slot.free, slot.model) = (after, Some(bucket.model));
            }
        }
        done
    }

    /// When each worker could begin with a bucket's tasks, seconds from now; never if it may not run them.
    fn ready(&self, bucket: &Bucket) -> Vec<f64> {
        let ready = |slot: &Slot| {
            let load = if slot.model == Some(bucket.model) { 0.0 } else { bucket.load };
            if bucket.rule.runs_on(slot.capacity) { slot.free + load } else { f64::INFINITY }
        };
        self.slots.iter().map(ready).collect()
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
    fn place_few(&self, bucket: &Bucket, free: &mut [f64]) -> Option<f64> {
        let mut last = None;
        for _ in 0..bucket.tasks {
            let first = (0..free.len()).min_by(|a, b| self.before(free, *a, *b))?;
            free[first] += bucket.each;
            if free[first].is_infinite() {
                return None;
            }
            last = Some(last.map_or(free[first], |last: f64| last.max(free[first])));
        }
        last
    }

    /// All at once: as the tasks are alike, it is enough to find the earliest time by which all workers together
    /// manage as many.
    fn place_many(&self, bucket: &Bucket, free: &mut [f64]) -> Option<f64> {
        let done = earliest(bucket, free)?;
        let mut over = 0;
        for free in free.iter_mut() {
            let tasks = fits(*free, bucket, done);
            over += tasks;
            *free += tasks as f64 * bucket.each;
        }
        // Several workers may finish one at the last moment; those that aren't needed give it back.
        let ready = self.ready(bucket);
        for _ in bucket.tasks..over {
            let given = (0..free.len()).filter(|i| free[*i] > ready[*i]);
            let last = given.max_by(|a, b| self.before(free, *a, *b))?;
            free[last] -= bucket.each;
        }
        Some(done)
    }

    /// How many of a bucket's tasks all workers together manage in so many seconds.
    pub(crate) fn manages(&self, bucket: &Bucket, seconds: f64) -> u64 {
        manage(bucket, &self.ready(bucket), seconds)
    }

    /// Among equals on-demand workers stay free for what only they may run.
    fn before(&self, free: &[f64], a: usize, b: usize) -> std::cmp::Ordering {
        free[a].total_cmp(&free[b]).then(self.slots[a].capacity.cmp(&self.slots[b].capacity))
    }
}

fn earliest(bucket: &Bucket, free: &[f64]) -> Option<f64> {
    let mut low = free.iter().copied().min_by(f64::total_cmp).filter(|low| low.is_finite())?;
    let mut high = low + bucket.seconds() + RESOLUTION;
    while high - low > RESOLUTION {
        let middle = f64::midpoint(low, high);
        if manage(bucket, free, middle) >= bucket.tasks {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

fn manage(bucket: &Bucket, free: &[f64], seconds: f64) -> u64 {
    free.iter().map(|free| fits(*free, bucket, seconds)).fold(0, u64::saturating_add)
}

/// How many of a bucket's tasks one worker manages in so many seconds.
fn fits(free: f64, bucket: &Bucket, seconds: f64) -> u64 {
    // `as` saturates: nothing below zero, and more than there are is enough.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let tasks = ((seconds - free) / bucket.each) as u64;
    tasks.min(bucket.tasks)
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
            let (few, many) = (Schedule::new(slots.clone()), Schedule::new(slots));
            let bucket = bucket(tasks, 7.0);
            let (mut one_by_one, mut at_once) = (few.ready(&bucket), many.ready(&bucket));
            let done = few.place_few(&bucket, &mut one_by_one);
            near(done, many.place_many(&bucket, &mut at_once).unwrap_or(-1.0));
            let [one_by_one, at_once] = [one_by_one, at_once].map(|free| free.iter().sum::<f64>());
            assert!((one_by_one - at_once).abs() < 0.1, "{tasks} tasks");
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
