//! The queue's order, foretold: tasks go to the workers that are free first, earliest due first.
//!
//! Workers that are alike are one group, so that what a forecast costs hangs on how much they differ and not on how
//! many they are.
use std::cmp::Ordering;

use crate::{demand::Bucket, supply::Slot};

/// Workers and when each is free, as tasks are given to them.
#[derive(Debug, Clone)]
pub(crate) struct Schedule<'a> {
    groups: Vec<Slot<'a>>,
    /// Groups closer to each other are made one when there are more than this.
    many: usize,
}

/// Finish times closer than this are one, seconds.
const RESOLUTION: f64 = 1e-3;
/// Up to so many tasks it is quicker to place them one by one.
const FEW: u64 = 12;
/// Up to so many groups are kept apart however close they are.
const GROUPS: usize = 64;
/// Workers of one group become free within so many seconds.
const ALIKE: f64 = 0.5;

impl<'a> Schedule<'a> {
    pub(crate) fn new(groups: Vec<Slot<'a>>) -> Self {
        let mut schedule = Self { groups, many: GROUPS };
        schedule.tidy();
        schedule
    }

    /// Gives a bucket's tasks to the workers that are through with them first; says when the last is done,
    /// seconds from now (`None`: no worker may run it).
    pub(crate) fn place(&mut self, bucket: &Bucket<'a>) -> Option<f64> {
        if bucket.expected {
            return self.spend(bucket);
        }
        let done = if bucket.tasks > FEW { self.place_many(bucket) } else { self.place_few(bucket) };
        if self.groups.len() > self.many {
            self.tidy();
        }
        done
    }

    /// How many of a bucket's tasks all workers together manage in so many seconds.
    pub(crate) fn manages(&self, bucket: &Bucket, seconds: f64) -> u64 {
        let ready: Vec<f64> = self.groups.iter().map(|group| ready(group, bucket)).collect();
        self.manage(bucket, &ready, seconds)
    }

    /// Work of which only the sum is known takes its part of every worker's time, the first free first.
    fn spend(&mut self, bucket: &Bucket<'a>) -> Option<f64> {
        self.groups.sort_by(|a, b| a.free.total_cmp(&b.free));
        // All who are free before a common time work until then.
        let (mut sum, mut workers, mut until) = (bucket.seconds(), 0, 0.0);
        for group in self.groups.iter().filter(|group| bucket.rule.runs_on(group.capacity)) {
            if workers > 0 && until <= group.free {
                break;
            }
            sum += group.free * group.workers as f64;
            workers += group.workers;
            until = sum / workers as f64;
        }
        let able = self.groups.iter_mut().filter(|group| bucket.rule.runs_on(group.capacity));
        able.for_each(|group| group.free = group.free.max(until));
        (workers > 0).then_some(until)
    }

    /// One task after another.
    fn place_few(&mut self, bucket: &Bucket<'a>) -> Option<f64> {
        let mut last = None;
        for _ in 0..bucket.tasks {
            let ready = |group: &Slot| ready(group, bucket);
            let able = self.groups.iter().enumerate().filter(|(_, group)| ready(group).is_finite());
            let (place, first) = able.min_by(|(_, a), (_, b)| before((ready(a), a), (ready(b), b)))?;
            let done = ready(first) + bucket.each;
            last = Some(last.map_or(done, |last: f64| last.max(done)));
            let busy = Slot { free: done, model: Some(bucket.model), workers: 1, ..*first };
            if first.workers == 1 {
                self.groups[place] = busy;
            } else {
                self.groups[place].workers -= 1;
                self.groups.push(busy);
            }
        }
        last
    }

    /// All at once: as the tasks are alike, it is enough to find the earliest time by which all workers together
    /// manage as many.
    fn place_many(&mut self, bucket: &Bucket<'a>) -> Option<f64> {
        let ready: Vec<f64> = self.groups.iter().map(|group| ready(group, bucket)).collect();
        let done = self.earliest(bucket, &ready)?;
        let share = |ready: &f64| fits(*ready, bucket, done);
        let shares: Vec<u64> = ready.iter().map(share).collect();
        let finish = |i: usize| ready[i] + shares[i] as f64 * bucket.each;
        let given = self.groups.iter().zip(&shares).map(|(group, share)| group.workers * share).sum::<u64>();
        // Several workers may finish one at the last moment; those that aren't needed give it back.
        let mut over = given.saturating_sub(bucket.tasks);
        let mut busy: Vec<usize> = (0..ready.len()).filter(|i| shares[*i] > 0).collect();
        busy.sort_by(|a, b| before((finish(*b), &self.groups[*b]), (finish(*a), &self.groups[*a])));
        for place in busy {
            let group = self.groups[place];
            let fewer = over.min(group.workers);
            over -= fewer;
            let with = |share: u64, workers: u64| match share {
                0 => Slot { workers, ..group },
                _ => {
                    let free = ready[place] + share as f64 * bucket.each;
                    Slot { free, model: Some(bucket.model), workers, ..group }
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

    /// The earliest time by which all tasks are done.
    fn earliest(&self, bucket: &Bucket, ready: &[f64]) -> Option<f64> {
        let mut low = ready.iter().copied().min_by(f64::total_cmp).filter(|low| low.is_finite())?;
        let mut high = low + bucket.seconds() + RESOLUTION;
        while high - low > RESOLUTION {
            let middle = f64::midpoint(low, high);
            if self.manage(bucket, ready, middle) >= bucket.tasks {
                high = middle;
            } else {
                low = middle;
            }
        }
        Some(high)
    }

    fn manage(&self, bucket: &Bucket, ready: &[f64], seconds: f64) -> u64 {
        let groups = self.groups.iter().zip(ready);
        let tasks = groups.map(|(group, ready)| group.workers.saturating_mul(fits(*ready, bucket, seconds)));
        tasks.fold(0, u64::saturating_add)
    }

    /// Makes one of groups that are alike, if there are many.
    fn tidy(&mut self) {
        if self.groups.len() <= GROUPS {
            return;
        }
        self.groups.sort_by(|a, b| {
            (a.capacity, a.model).cmp(&(b.capacity, b.model)).then_with(|| a.free.total_cmp(&b.free))
        });
        let mut first = f64::NEG_INFINITY;
        let mut tidy: Vec<Slot> = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            match tidy.last_mut() {
                Some(last)
                    if (last.capacity, last.model) == (group.capacity, group.model)
                        && group.free - first <= ALIKE =>
                {
                    let seconds = last.free * last.workers as f64 + group.free * group.workers as f64;
                    last.workers += group.workers;
                    last.free = seconds / last.workers as f64;
                }
                _ => {
                    first = group.free;
                    tidy.push(*group);
                }
            }
        }
        self.groups = tidy;
        self.many = (2 * self.groups.len()).max(GROUPS);
    }
}

/// When a group could begin with a bucket's tasks, seconds from now; never if it may not run them.
fn ready(group: &Slot, bucket: &Bucket) -> f64 {
    let load = if group.model == Some(bucket.model) { 0.0 } else { bucket.load };
    if bucket.rule.runs_on(group.capacity) { group.free + load } else { f64::INFINITY }
}

/// Among equals on-demand workers stay free for what only they may run.
fn before((a, group_a): (f64, &Slot), (b, group_b): (f64, &Slot)) -> Ordering {
    a.total_cmp(&b).then(group_a.capacity.cmp(&group_b.capacity))
}

/// How many of a bucket's tasks one worker manages in so many seconds.
fn fits(ready: f64, bucket: &Bucket, seconds: f64) -> u64 {
    // `as` saturates: nothing below zero, and more than there are is enough.
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

    fn slot(free: f64, model: Option<&'static str>) -> Slot<'static> {
        Slot { capacity: Capacity::Spot, free, model, workers: 1 }
    }

    fn near(got: Option<f64>, want: f64) {
        assert!(got.is_some_and(|got| (got - want).abs() < 0.01), "{got:?} instead of {want}");
    }

    /// Each worker's time, smallest first.
    fn times(schedule: &Schedule) -> Vec<f64> {
        let each = |group: &Slot| vec![group.free; usize::try_from(group.workers).unwrap()];
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
