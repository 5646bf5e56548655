//! The queue's order of claims, as `queue/src/lua` has it: classes by when their first tasks must start, an urgent
//! one passed over only so often; in a class what came back, then what presses, then start-time fair queueing between
//! tenants, with a loaded model preferred while what presses can wait. For workers that claim one task at a time, which is
//! what workers do. A property test plays the same story to this and to the real scripts on a real Redis
//! (`tests/it/order.rs`).
//!
//! Left out is what the simulation has no use for: limits on a tenant's running tasks, failures, suspending and
//! cancelling.
use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

use lane::{Flow, Lane};

mod lane;

/// A class with a shorter promise that has work is passed over for others at most so often in a row.
const PASSES: u32 = 3;
/// So many of a class's first tenants are looked at.
const LOOKAHEAD: usize = 16;
/// A task presses when less than this part of its class's promise is left before it must start, as a divisor. What
/// goes before its turn then may be ahead by what all busy workers do in that time.
const LAST_PART: i64 = 4;
/// What presses lets work go first that needs no load until this part of its class's promise is left, as a divisor.
const LOAD_PART: i64 = 8;
/// A head that came less than this ago, ms (and a twelfth of its promise), is left to an idle worker that has its
/// model.
const FRESH: i64 = 3000;
/// A tenant's longest wait, in promises.
const MAX_WAIT: i64 = 4;
/// Virtual times are kept in thousandths of a millisecond of GPU time ÷ weight.
const THOUSAND: i64 = 1000;

/// A name as the queue's keys have it; what stands at one place is served in the order of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(u64);

impl Name {
    /// That of no model: nothing has to be loaded.
    const NONE: Self = Self(0xe3b0_c442_98fc_1c14);

    /// The first 64 bits of its SHA-256.
    pub fn of(text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        Self(digest.iter().take(8).fold(0, |name, byte| name << 8 | u64::from(*byte)))
    }
}

/// A job as it is queued.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Job {
    /// Its number, unique.
    pub uid: u32,
    /// Its class's index.
    pub class: usize,
    /// Whose it is.
    pub tenant: Name,
    /// What a worker must have loaded.
    pub model: Name,
    /// When it was asked for, ms.
    pub arrival: i64,
    /// Its class's promise, ms.
    pub sla: i64,
    /// GPU time that one task is charged at first, ms.
    pub gpu_ms: f64,
    /// The tenant's share against others.
    pub weight: f64,
    /// Tasks in it.
    pub total: u32,
}

/// A worker's right to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    /// Of which job.
    pub uid: u32,
    /// Which of its tasks.
    pub index: u32,
    /// 1 for the first.
    pub attempt: u32,
}

/// What waits in a pool.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: BTreeMap<usize, Lane>,
    jobs: HashMap<u32, Waiting>,
    /// Attempt and charge by leased task.
    leases: HashMap<(u32, u32), (u32, i64)>,
    /// Attempts and charge of a task that came back.
    back: HashMap<(u32, u32), (u32, i64)>,
}

#[derive(Debug)]
struct Waiting {
    job: Job,
    next: u32,
    done: u32,
}

/// A worker that claims.
struct Ask<'a> {
    now: i64,
    loaded: Option<Name>,
    idle_elsewhere: &'a dyn Fn(Name) -> bool,
}

impl Ask<'_> {
    fn needs_load(&self, model: Name) -> bool {
        model != Name::NONE && Some(model) != self.loaded
    }
}

impl Lanes {
    /// Queues a job.
    pub fn enqueue(&mut self, now: i64, job: Job) {
        self.jobs.insert(job.uid, Waiting { job, next: 0, done: 0 });
        let lane = self.lanes.entry(job.class).or_insert_with(|| Lane::new(job.sla));
        let lines = &mut lane.flows.entry(job.tenant).or_default().lines;
        lines.entry(job.model).or_default().insert((job.start_by(), job.uid));
        lane.place(job.tenant, now);
    }

    /// Gives the next task to a worker that serves these classes and has that model loaded. `idle_elsewhere` tells
    /// whether another worker that idles has a model loaded.
    pub fn claim(
        &mut self,
        now: i64,
        classes: &[usize],
        loaded: Option<Name>,
        idle_elsewhere: impl Fn(Name) -> bool,
    ) -> Option<Grant> {
        let ask = Ask { now, loaded, idle_elsewhere: &idle_elsewhere };
        let busy = i64::try_from(self.leases.len()).unwrap_or(i64::MAX);
        for class in classes {
            if let Some(lane) = self.lanes.get_mut(class) {
                lane.find_pressing(now, busy);
            }
        }
        let order = self.order(now, classes);
        let (served, grant) =
            order.iter().find_map(|(class, forced)| self.serve_class(&ask, *class, *forced, &order))?;
        self.count_passes(served, &order);
        Some(grant)
    }

    /// A task is done, after so much GPU time of this attempt, ms; false: the lease is another's or has ended, and
    /// nothing changes.
    pub fn complete(&mut self, grant: Grant, gpu_ms: i64) -> bool {
        let Some(charge) = self.end_lease(grant) else { return false };
        self.back.remove(&(grant.uid, grant.index));
        if let Some(waiting) = self.jobs.get_mut(&grant.uid) {
            let Job { class, tenant, .. } = waiting.job;
            waiting.done += 1;
            #[allow(clippy::cast_precision_loss)] // far below 2^53
            let paid = waiting.job.step(gpu_ms as f64) - charge;
            if waiting.done == waiting.job.total {
                self.jobs.remove(&grant.uid);
            }
            if let Some(lane) = self.lanes.get_mut(&class) {
                lane.correct(tenant, paid);
            }
        }
        true
    }

    /// A task comes back because its machine goes away; false: the lease is another's or has ended.
    pub fn interrupt(&mut self, grant: Grant) -> bool {
        let Some(charge) = self.end_lease(grant) else { return false };
        let Some(Waiting { job, .. }) = self.jobs.get(&grant.uid) else { return true };
        self.back.insert((grant.uid, grant.index), (grant.attempt, charge));
        let lane = self.lanes.entry(job.class).or_insert_with(|| Lane::new(job.sla));
        lane.returned.insert((job.arrival + job.sla, grant.uid, grant.index));
        true
    }

    /// What an ended lease had been charged.
    fn end_lease(&mut self, grant: Grant) -> Option<i64> {
        let task = (grant.uid, grant.index);
        let (attempt, charge) = *self.leases.get(&task)?;
        if attempt != grant.attempt {
            return None;
        }
        self.leases.remove(&task);
        Some(charge)
    }

    /// Classes that have work in the order in which to try them, and which were passed over often enough.
    fn order(&self, now: i64, classes: &[usize]) -> Vec<(usize, bool)> {
        let waiting = classes.iter().filter_map(|class| Some((*class, self.lanes.get(class)?)));
        let mut waiting: Vec<_> = waiting.filter(|(_, lane)| lane.has_work()).collect();
        if let [(only, _)] = waiting[..] {
            return vec![(only, false)];
        }
        waiting.sort_by_key(|(class, lane)| {
            let forced = lane.passes >= PASSES;
            (!forced, if forced { lane.sla } else { 0 }, lane.deadline(now), *class)
        });
        waiting.into_iter().map(|(class, lane)| (class, lane.passes >= PASSES)).collect()
    }

    fn count_passes(&mut self, served: usize, waiting: &[(usize, bool)]) {
        if waiting.len() < 2 {
            return;
        }
        let sla = self.lanes.get(&served).map_or(0, |lane| lane.sla);
        for (class, _) in waiting {
            let Some(lane) = self.lanes.get_mut(class) else { continue };
            if *class == served {
                lane.passes = 0;
            } else if lane.sla < sla {
                lane.passes += 1;
            }
        }
    }

    /// What came back, then what presses, then whose turn it is. Which class was served, and with what.
    fn serve_class(
        &mut self,
        ask: &Ask<'_>,
        class: usize,
        forced: bool,
        classes: &[(usize, bool)],
    ) -> Option<(usize, Grant)> {
        let lane = self.lanes.get_mut(&class)?;
        if let Some((_, uid, index)) = lane.returned.pop_first() {
            return self.take_back(uid, index).map(|grant| (class, grant));
        }
        let pressing: Vec<Name> = lane.pressing.iter().map(|(_, tenant)| *tenant).collect();
        let Some((limit, first)) = lane.pressing.first().copied() else {
            return self.serve_turns(ask, class, !forced, classes);
        };
        if !forced
            && limit > ask.now + lane.sla / LOAD_PART
            && lane.needs_loads(ask, first)
            && let Some(granted) = self.serve_loaded(ask, class, classes)
        {
            return Some(granted);
        }
        if let Some(grant) = pressing.into_iter().find_map(|tenant| self.serve_flow(ask, class, tenant)) {
            return Some((class, grant));
        }
        self.serve_turns(ask, class, false, classes)
    }

    /// Whose turn it is; while that can wait, another tenant for whom nothing has to be loaded.
    fn serve_turns(
        &mut self,
        ask: &Ask<'_>,
        class: usize,
        waits: bool,
        classes: &[(usize, bool)],
    ) -> Option<(usize, Grant)> {
        let lane = self.lanes.get(&class)?;
        let first = lane.first()?;
        if waits
            && lane.needs_loads(ask, first)
            && let Some(granted) = self.serve_loaded(ask, class, classes)
        {
            return Some(granted);
        }
        let near = self.lanes.get(&class)?.turns.iter().take(LOOKAHEAD);
        let near: Vec<Name> = near.map(|(_, tenant)| *tenant).collect();
        let others = near.into_iter().filter(|tenant| *tenant != first);
        let mut near = std::iter::once(first).chain(others);
        near.find_map(|tenant| self.serve_flow(ask, class, tenant)).map(|grant| (class, grant))
    }

    /// Work that needs no load, of those within the allowance: of this class, or of one in which nothing goes first.
    fn serve_loaded(
        &mut self,
        ask: &Ask<'_>,
        class: usize,
        classes: &[(usize, bool)],
    ) -> Option<(usize, Grant)> {
        let others = classes.iter().map(|(other, _)| *other).filter(|other| *other != class);
        let others = others.filter(|other| self.lanes.get(other).is_some_and(Lane::is_plain));
        let order: Vec<usize> = std::iter::once(class).chain(others).collect();
        order.into_iter().find_map(|class| Some((class, self.serve_loaded_of(ask, class)?)))
    }

    /// The first tenant within the allowance that has a line that needs no load.
    fn serve_loaded_of(&mut self, ask: &Ask<'_>, class: usize) -> Option<Grant> {
        let lane = self.lanes.get(&class)?;
        let near = lane.turns.iter().take(LOOKAHEAD).take_while(|(tag, _)| *tag <= lane.most);
        let (tenant, model) = near
            .filter_map(|(_, tenant)| {
                let lines = &lane.flows.get(tenant)?.lines;
                let model =
                    ask.loaded.into_iter().chain([Name::NONE]).find(|model| lines.contains_key(model))?;
                Some((*tenant, model))
            })
            .next()?;
        self.take_next(ask, class, tenant, model)
    }

    /// From the first of a tenant's lines, those that need no load first, whose first job is not left to another
    /// worker.
    fn serve_flow(&mut self, ask: &Ask<'_>, class: usize, tenant: Name) -> Option<Grant> {
        let lane = self.lanes.get(&class)?;
        let flow = lane.flows.get(&tenant)?;
        let left = |model: Name| {
            let uid = flow.lines.get(&model).and_then(|line| line.first()).map(|(_, uid)| uid);
            let job = uid.and_then(|uid| self.jobs.get(uid)).map(|waiting| waiting.job);
            let fresh = job.is_some_and(|job| ask.now < job.arrival + (job.sla / 12).min(FRESH));
            fresh && ask.needs_load(model) && (ask.idle_elsewhere)(model)
        };
        let model = flow.lines_for(ask).into_iter().find(|model| !left(*model))?;
        self.take_next(ask, class, tenant, model)
    }

    fn take_back(&mut self, uid: u32, index: u32) -> Option<Grant> {
        let (attempts, charge) = *self.back.get(&(uid, index))?;
        let attempt = attempts + 1;
        self.leases.insert((uid, index), (attempt, charge));
        Some(Grant { uid, index, attempt })
    }

    fn take_next(&mut self, ask: &Ask<'_>, class: usize, tenant: Name, model: Name) -> Option<Grant> {
        let lane = self.lanes.get_mut(&class)?;
        let Flow { lines, .. } = lane.flows.get_mut(&tenant)?;
        let line = lines.get_mut(&model)?;
        let first = *line.first()?;
        let Waiting { job, next, .. } = self.jobs.get_mut(&first.1)?;
        let grant = Grant { uid: job.uid, index: *next, attempt: 1 };
        *next += 1;
        if *next == job.total {
            line.remove(&first);
            if line.is_empty() {
                lines.remove(&model);
            }
        }
        let charge = job.step(job.gpu_ms);
        lane.serve(tenant, charge, ask.now);
        self.leases.insert((grant.uid, grant.index), (1, charge));
        Some(grant)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // far below 2^53 both ways
impl Job {
    /// How far GPU time of so many ms moves its tenant's tag.
    fn step(&self, gpu_ms: f64) -> i64 {
        (gpu_ms / self.weight * THOUSAND as f64).round() as i64
    }

    /// When one of its tasks must start to be in time.
    fn start_by(&self) -> i64 {
        (self.arrival as f64 + self.sla as f64 - self.gpu_ms.min(self.sla as f64 / 2.0)).round() as i64
    }
}
