//! Forecasts the order of the queue: the earliest due task goes to the worker that is free first.
//!
//! Equal workers form one group, so the cost of a forecast depends on the number of groups and not on the number of
//! workers.
use std::cmp::Ordering;

use crate::{demand::Bucket, supply::Slot};

/// Groups of workers and the time at which each is free, while tasks are assigned to them.
#[derive(Debug, Clone)]
pub(crate) struct Schedule<'a> {
    groups: Vec<Slot<'a>>,
    /// With more groups than this, similar groups are merged.
    merge_above: usize,
}

/// Finish times closer than this count as equal, in seconds.
const RESOLUTION: f64 = 1e-3;
/// Up to this many tasks are placed one by one, which is quicker than [`Schedule::place_many`].
const FEW: u64 = 12;
/// Up to this many groups are kept apart, however similar they are.
const GROUPS: usize = 64;
/// The workers of one group become free within this many seconds.
const SIMILAR: f64 = 0.5;

impl<'a> Schedule<'a> {
    pub(crate) fn new(groups: Vec<Slot<'a>>) -> Self {
        let mut schedule = Self { groups, merge_above: GROUPS };
        schedule.merge_similar();
        schedule
    }

    /// Assigns a bucket's tasks to the workers that finish them first. Returns when the last task is done, in seconds
    /// from now; `None`: no worker may run it.
    pub(crate) fn place(&mut self, bucket: &Bucket<'a>) -> Option<f64> {
        if bucket.expected {
            return self.place_expected(bucket);
        }
        let done = if bucket.tasks > FEW { self.place_many(bucket) } else { self.place_few(bucket) };
        if self.groups.len() > self.merge_above {
            self.merge_similar();
        }
        done
    }

    /// The number of a bucket's tasks that all workers together finish within `seconds` from now.
    pub(crate) fn tasks_within(&self, bucket: &Bucket, seconds: f64) -> u64 {
        let ready: Vec<f64> = self.groups.iter().map(|group| ready(group, bucket)).collect();
        self.count_within(bucket, &ready, seconds)
    }

    /// Takes expected work, of which only the sum is known, from every worker's time, beginning with the worker that is
    /// free first.
    fn place_expected(&mut self, bucket: &Bucket<'a>) -> Option<f64> {
        self.groups.sort_by(|a, b| a.free_in.total_cmp(&b.free_in));
        // All workers that are free before a common time work until then.
        let (mut sum, mut workers, mut until) = (bucket.seconds(), 0, 0.0);
        for group in self.groups.iter().filter(|group| bucket.rule.runs_on(group.capacity)) {
            if workers > 0 && until <= group.free_in {
                break;
            }
            sum += group.free_in * group.workers as f64;
            workers += group.workers;
            until = sum / workers as f64;
        }
        let able = self.groups.iter_mut().filter(|group| bucket.rule.runs_on(group.capacity));
        able.for_each(|group| group.free_in = group.free_in.max(until));
        (workers > 0).then_some(until)
    }

    /// Places one task after another.
    fn place_few(&mut self, bucket: &Bucket<'a>) -> Option<f64> {
        let mut last = None;
        for _ in 0..bucket.tasks {
            let ready = |group: &Slot| ready(group, bucket);
            let able = self.groups.iter().enumerate().filter(|(_, group)| ready(group).is_finite());
            let (place, first) = able.min_by(|(_, a), (_, b)| by_ready((ready(a), a), (ready(b), b)))?;
            let done = ready(first) + bucket.each;
            last = Some(last.map_or(done, |last: f64| last.max(done)));
            let busy = Slot { free_in: done, model: Some(bucket.model), workers: 1, ..*first };
            if first.workers == 1 {
                self.groups[place] = busy;
            } else {
                self.groups[place].workers -= 1;
                self.groups.push(busy);
            }
        }
        last
    }

    /// Places all tasks at once. They are alike, so it suffices to find the earliest time by which all workers together
    /// finish them.
    fn place_many(&mut self, bucket: &Bucket<'a>) -> Option<f64> {
        let ready: Vec<f64> = self.groups.iter().map(|group| ready(group, bucket)).collect();
        let done = self.earliest(bucket, &ready)?;
        let share = |ready: &f64| fits(*ready, bucket, done);
        let shares: Vec<u64> = ready.iter().map(share).collect();
        let finish = |i: usize| ready[i] + shares[i] as f64 * bucket.each;
        let given = self.groups.iter().zip(&shares).map(|(group, share)| group.workers * share).sum::<u64>();
        // Several workers may finish a task at the last moment; those whose last task is not needed give it back.
        let mut over = given.saturating_sub(bucket.tasks);
        let mut busy: Vec<usize> = (0..ready.len()).filter(|i| shares[*i] > 0).collect();
        busy.sort_by(|a, b| by_ready((finish(*b), &self.groups[*b]), (finish(*a), &self.groups[*a])));
        for place in busy {
            let group = self.groups[place];
            let fewer = over.min(group.workers);
            over -= fewer;
            let with = |share: u64, workers: u64| match share {
                0 => Slot { workers, ..group },
                _ => {
                    let free_in = ready[place] + share as f64 * bucket.each;
                    Slot { free_in, model: Some(bucket.model), workers, ..group }
                }
            };
            let share = shares[place];
            if fewer == group.workers {
                self.groups[place] = with(share - 1, fewer);
                continue;
            }
            self.groups[place] = with(share, group.workers - fewer);
            if fewer > 0 {
                self.groups.push(with(share - 1, fewer));
            }
        }
        Some(done)
    }

    /// The earliest time by which all tasks are done, in seconds from now.
    fn earliest(&self, bucket: &Bucket, ready: &[f64]) -> Option<f64> {
        let mut low = ready.iter().copied().min_by(f64::total_cmp).filter(|low| low.is_finite())?;
        let mut high = low + bucket.seconds() + RESOLUTION;
        while high - low > RESOLUTION {
            let middle = f64::midpoint(low, high);
            if self.count_within(bucket, ready, middle) >= bucket.tasks {
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(high)
    }

    fn count_within(&self, bucket: &Bucket, ready: &[f64], seconds: f64) -> u64 {
        let groups = self.groups.iter().zip(ready);
        let tasks = groups.map(|(group, ready)| group.workers.saturating_mul(fits(*ready, bucket, seconds)));
        tasks.fold(0, u64::saturating_add)
    }

    /// Merges similar groups, if there are many.
    fn merge_similar(&mut self) {
        if self.groups.len() <= GROUPS {
            return;
        }
        self.groups.sort_by(|a, b| {
            (a.capacity, a.model).cmp(&(b.capacity, b.model)).then_with(|| a.free_in.total_cmp(&b.free_in))
        });
        let mut first = f64::NEG_INFINITY;
        let mut tidy: Vec<Slot> = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            match tidy.last_mut() {
                Some(last)
                    if (last.capacity, last.model) == (group.capacity, group.model)
                        && group.free_in - first <= SIMILAR =>
                {
                    let seconds = last.free_in * last.workers as f64 + group.free_in * group.workers as f64;
                    last.workers += group.workers;
                    last.free_in = seconds / last.workers as f64;
                }
                _ => {
                    first = group.free_in;
                    tidy.push(*group);
                }
            }
        }
        self.groups = tidy;
        self.merge_above = (2 * self.groups.len()).max(GROUPS);
    }
}

/// The time at which a group can begin with a bucket's tasks, in seconds from now; infinite if it may not run them.
fn ready(group: &Slot, bucket: &Bucket) -> f64 {
    let load = if group.model == Some(bucket.model) { 0.0 } else { bucket.load };
    if bucket.rule.runs_on(group.capacity) { group.free_in + load } else { f64::INFINITY }
}

/// Orders groups by the time at which they are ready. At equal times spot comes first, so that on-demand workers stay
/// free for tasks that only they may run.
fn by_ready((a, group_a): (f64, &Slot), (b, group_b): (f64, &Slot)) -> Ordering {
    a.total_cmp(&b).then(group_a.capacity.cmp(&group_b.capacity))
}

/// The number of a bucket's tasks that one worker finishes within `seconds` from now.
fn fits(ready: f64, bucket: &Bucket, seconds: f64) -> u64 {
    // `as` saturates: a negative number becomes 0, and more tasks than the bucket has are cut below.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let tasks = ((seconds - ready) / bucket.each) as u64;
    tasks.min(bucket.tasks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Capacity, CapacityRule, Time};

    fn bucket(tasks: u64, each: f64) -> Bucket<'static> {
        Bucket {
            class: "standard",
            model: "m",
            work: "",
            rule: CapacityRule::SpotThenOnDemand,
            sla: 300.0,
            due: Time::default(),
            tasks,
            each,
            mean: each,
            load: 10.0,
            expected: false,
        }
    }

    fn slot(free_in: f64, model: Option<&'static str>) -> Slot<'static> {
        Slot { capacity: Capacity::Spot, free_in, model, workers: 1 }
    }

    fn near(got: Option<f64>, want: f64) {
        assert!(got.is_some_and(|got| (got - want).abs() < 0.01), "{got:?} instead of {want}");
    }

    /// The free time of each worker, smallest first.
    fn times(schedule: &Schedule) -> Vec<f64> {
        let each = |group: &Slot| vec![group.free_in; usize::try_from(group.workers).unwrap()];
        let mut times: Vec<f64> = schedule.groups.iter().flat_map(each).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    #[test]
    fn tasks_are_whole() {
        let mut two = Schedule::new(vec![Slot { workers: 2, ..slot(0.0, Some("m")) }]);
        near(two.place(&bucket(3, 8.0)), 16.0);
        near(two.place(&bucket(1, 8.0)), 16.0);
        near(two.place(&bucket(1, 8.0)), 24.0);
    }

    #[test]
    fn few_and_many_come_out_alike_however_workers_are_grouped() {
        for tasks in 1..40 {
            let groups = vec![
                Slot { workers: 3, ..slot(0.0, Some("m")) },
                Slot { workers: 2, ..slot(3.0, None) },
                slot(50.0, Some("m")),
                slot(9.0, Some("x")),
            ];
            let apart: Vec<Slot> = groups
                .iter()
                .flat_map(|group| {
                    vec![Slot { workers: 1, ..*group }; usize::try_from(group.workers).unwrap()]
                })
                .collect();
            let bucket = bucket(tasks, 7.0);
            let mut all = [Schedule::new(groups.clone()), Schedule::new(groups), Schedule::new(apart)];
            let done = all[0].place_few(&bucket);
            near(done, all[1].place_many(&bucket).unwrap_or(-1.0));
            near(done, all[2].place_many(&bucket).unwrap_or(-1.0));
            let [few, many, apart] = all.map(|schedule| times(&schedule));
            assert_eq!(few.len(), 7);
            for other in [many, apart] {
                let off = few.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(off < 0.1, "{tasks} tasks: {few:?} and {other:?}");
            }
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

    #[test]
    fn many_workers_are_few_groups() {
        let slots = (0..1000).map(|i| slot(f64::from(i) / 100.0, Some("m"))).collect();
        let mut schedule = Schedule::new(slots);
        assert!(schedule.groups.len() <= 21, "{}", schedule.groups.len());
        for tasks in [3, 500, 7, 2000, 12] {
            schedule.place(&bucket(tasks, 7.0));
        }
        assert_eq!(times(&schedule).len(), 1000);
        assert!(schedule.groups.len() <= GROUPS, "{}", schedule.groups.len());
    }
}
