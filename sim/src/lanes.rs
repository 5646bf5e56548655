//! The queue's order of claims, as `queue/src/lua` has it: lanes per class, lines per tenant and model, start-time fair
//! queueing, what was interrupted first, the loaded model preferred while the head can wait, nobody passed over for
//! ever. For workers that claim one task at a time, which is what workers do. A property test plays the same story to
//! this and to the real scripts on a real Redis (`tests/it/order.rs`).
//!
//! Left out is what the simulation has no use for: limits on a tenant's running tasks, failures, suspending and
//! cancelling.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest, Sha256};

/// How far down the lane that other may stand.
const LOOKAHEAD: usize = 64;
/// The part of its class's promise that a job waits for a worker with its model, as a divisor.
const FRESH: i64 = 12;
/// What was interrupted goes before everything, the most urgent first.
const FRONT: i64 = -1_000_000_000_000_000;
/// Overdue lines come next, the longest overdue first.
const OVERDUE: i64 = -100_000_000_000_000;
/// Then those whose first job's time is nearly over, as far apart as their tags.
const PRESSING: i64 = -10_000_000_000_000;
/// The part of its promise that is left to it then, as a divisor. Until then it may be passed by for another whose model
/// is loaded.
const LAST_PART: i64 = 4;
/// Overdue lines are put first up to so much early, ms.
const SWEEP: i64 = 10_000;
/// A class's longest wait, in promises.
const MAX_WAIT: i64 = 4;
/// How far one unit of work moves the virtual time of a tenant of weight 1, ms.
const VIRTUAL_MS_PER_UNIT: f64 = 1e7;
/// Rounds in which a claim may put things right before it gives up.
const ROUNDS: usize = 65;

/// A name as the queue's keys have it; lines that stand at one place are served in the order of these.
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
    /// The lane it waits in: its class's index.
    pub class: usize,
    /// Whose it is.
    pub tenant: Name,
    /// What a worker must have loaded.
    pub model: Name,
    /// When it was asked for, ms.
    pub arrival: i64,
    /// Its class's promise, ms.
    pub sla: i64,
    /// Work in one task ÷ the tenant's weight.
    pub units: f64,
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

/// The jobs of one tenant for one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Line {
    model: Name,
    tenant: Name,
}

/// What stands in a lane. What comes back stands before lines at the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Member {
    Back { uid: u32, index: u32 },
    Line(Line),
}

/// A tenant in one class.
#[derive(Debug, Clone, Copy, Default)]
struct Flow {
    /// Its virtual time.
    time: i64,
    /// When it was last served, and the promise.
    due: i64,
}

#[derive(Debug, Default)]
struct Lane {
    order: BTreeSet<(i64, Member)>,
    places: HashMap<Member, i64>,
    /// By line: its jobs by due time.
    lines: HashMap<Line, BTreeSet<(i64, u32)>>,
    flows: HashMap<Name, Flow>,
    /// How far the lane's clock is ahead of the real one.
    lead: i64,
}

/// All lanes of a pool.
#[derive(Debug, Default)]
pub struct Lanes {
    lanes: BTreeMap<usize, Lane>,
    jobs: HashMap<u32, Waiting>,
    /// Attempt by leased task.
    leases: HashMap<(u32, u32), u32>,
    /// Attempts had by a task that came back.
    tried: HashMap<(u32, u32), u32>,
}

#[derive(Debug)]
struct Waiting {
    job: Job,
    next: u32,
    done: u32,
}

impl Lanes {
    /// Queues a job.
    pub fn enqueue(&mut self, job: Job) {
        self.jobs.insert(job.uid, Waiting { job, next: 0, done: 0 });
        let line = Line { model: job.model, tenant: job.tenant };
        let lane = self.lanes.entry(job.class).or_default();
        lane.lines.entry(line).or_default().insert((job.arrival + job.sla, job.uid));
        let time = lane.flows.get(&job.tenant).map_or(0, |flow| flow.time);
        lane.enter(Member::Line(line), time.max(job.arrival + lane.lead));
    }

    /// Gives the next task to a worker that serves these classes and has that model loaded.
    /// `others_have` tells whether another worker that may claim has a model loaded.
    pub fn claim(
        &mut self,
        now: i64,
        classes: &[usize],
        loaded: Option<Name>,
        others_have: impl Fn(Name) -> bool,
    ) -> Option<Grant> {
        for _ in 0..ROUNDS {
            let (class, several) = self.choose(classes)?;
            let (class, heads) = self.prefer_loaded(now, (class, several), classes, loaded, &others_have)?;
            if let Some(grant) = self.serve(now, class, &heads, loaded) {
                return Some(grant);
            }
        }
        None
    }

    /// A task is done; false: the lease is another's or has ended, and nothing changes.
    pub fn complete(&mut self, grant: Grant) -> bool {
        if !self.end_lease(grant) {
            return false;
        }
        self.tried.remove(&(grant.uid, grant.index));
        if let Some(waiting) = self.jobs.get_mut(&grant.uid) {
            waiting.done += 1;
            if waiting.done == waiting.job.total {
                self.jobs.remove(&grant.uid);
            }
        }
        true
    }

    /// A task comes back because its machine goes away; false: the lease is another's or has ended.
    pub fn interrupt(&mut self, grant: Grant) -> bool {
        if !self.end_lease(grant) {
            return false;
        }
        let Some(Waiting { job, .. }) = self.jobs.get(&grant.uid) else { return true };
        self.tried.insert((grant.uid, grant.index), grant.attempt);
        let member = Member::Back { uid: grant.uid, index: grant.index };
        let place = FRONT + job.arrival + job.sla;
        self.lanes.entry(job.class).or_default().enter(member, place);
        true
    }

    /// Puts lines first that were not served for their longest wait, and then those that press. To be called every few
    /// seconds.
    pub fn sweep(&mut self, now: i64) {
        for lane in self.lanes.values_mut() {
            let clock = now + lane.lead;
            let waiting = lane.order.iter().filter(|(place, _)| *place > OVERDUE / 2);
            let place_of = |(tag, member): &(i64, Member)| match member {
                Member::Line(line) => Some((*member, put_first(lane, &self.jobs, now, clock, *tag, *line)?)),
                Member::Back { .. } => None,
            };
            let first: Vec<(Member, i64)> = waiting.filter_map(place_of).collect();
            for (member, place) in first {
                lane.put(member, place);
            }
        }
    }

    fn end_lease(&mut self, grant: Grant) -> bool {
        let task = (grant.uid, grant.index);
        let mine = self.leases.get(&task) == Some(&grant.attempt);
        if mine {
            self.leases.remove(&task);
        }
        mine
    }

    /// The lane to serve, and whether others have work too.
    fn choose(&self, classes: &[usize]) -> Option<(usize, bool)> {
        let first = |class: &usize| Some((*class, *self.lanes.get(class)?.order.first()?));
        let mut heads = classes.iter().filter_map(first);
        let (only, _) = heads.clone().next()?;
        if heads.clone().count() == 1 {
            return Some((only, false));
        }
        let key = |class: usize, (place, member): (i64, Member)| match member {
            Member::Line(line) if place >= 0 => self.urgency(class, line).0,
            _ => place,
        };
        let best = heads.next().map(|(class, head)| (class, key(class, head)))?;
        let best = heads.fold(best, |best, (class, head)| {
            let key = key(class, head);
            if key < best.1 { (class, key) } else { best }
        });
        Some((best.0, true))
    }

    /// What to try: the lane's first (of one lane the first two); or, if it can wait, a line whose model is loaded, from
    /// this lane or another. Nothing if it is fresh and another worker has its model.
    fn prefer_loaded(
        &self,
        now: i64,
        (class, several): (usize, bool),
        classes: &[usize],
        loaded: Option<Name>,
        others_have: &impl Fn(Name) -> bool,
    ) -> Option<(usize, Vec<(i64, Member)>)> {
        let lane = self.lanes.get(&class)?;
        let usual = || lane.order.iter().take(if several { 1 } else { 2 }).copied().collect();
        let (Some((place, Member::Line(line))), Some(loaded)) = (lane.order.first(), loaded) else {
            return Some((class, usual()));
        };
        if *place < 0 || line.model == loaded || line.model == Name::NONE {
            return Some((class, usual()));
        }
        let (due, sla, arrival) = self.urgency(class, *line);
        if now < due - sla / LAST_PART {
            let near = |class: &usize| Some((*class, vec![self.find_loaded(*class, loaded)?]));
            let found = [class].iter().chain(classes).find_map(near);
            if found.is_some() {
                return found;
            }
        }
        let waits = now < arrival + sla / FRESH && others_have(line.model);
        (!waits).then(|| (class, usual()))
    }

    /// The first near a lane's head whose model is loaded.
    fn find_loaded(&self, class: usize, loaded: Name) -> Option<(i64, Member)> {
        let is_loaded = |(_, member): &&(i64, Member)| matches!(member, Member::Line(l) if l.model == loaded);
        self.lanes.get(&class)?.order.iter().take(LOOKAHEAD + 1).find(is_loaded).copied()
    }

    /// When a line should be served, its class's promise, and when its first job arrived.
    fn urgency(&self, class: usize, line: Line) -> (i64, i64, i64) {
        let found = self.lanes.get(&class).and_then(|lane| {
            let (due, uid) = *lane.lines.get(&line)?.first()?;
            let served = lane.flows.get(&line.tenant).map_or(0, |flow| flow.due);
            let sla = self.jobs.get(&uid)?.job.sla;
            Some((due.max(served), sla, due - sla))
        });
        found.unwrap_or_default()
    }

    fn serve(
        &mut self,
        now: i64,
        class: usize,
        heads: &[(i64, Member)],
        loaded: Option<Name>,
    ) -> Option<Grant> {
        let lane = self.lanes.get_mut(&class)?;
        let mut floor = i64::MAX;
        for (i, (place, member)) in heads.iter().enumerate() {
            let line = match member {
                Member::Back { uid, index } => {
                    lane.leave(*member);
                    return self.take_back(now, class, *uid, *index);
                }
                Member::Line(line) => *line,
            };
            let another = i > 0 && loaded.is_some_and(|loaded| line.model != loaded);
            if another || floor < *place {
                return None;
            }
            let time = lane.flows.get(&line.tenant).map_or(0, |flow| flow.time);
            if *place < 0 || time <= *place {
                return self.take_line(now, class, *place, line);
            }
            // The tenant was served in another line since: the place was too early.
            lane.put(*member, time);
            floor = floor.min(time);
        }
        None
    }

    fn take_back(&mut self, now: i64, class: usize, uid: u32, index: u32) -> Option<Grant> {
        let job = self.jobs.get(&uid)?.job;
        let flow = self.lanes.get_mut(&class)?.flows.entry(job.tenant).or_default();
        flow.due = now + job.sla;
        let attempt = self.tried.get(&(uid, index))? + 1;
        self.leases.insert((uid, index), attempt);
        Some(Grant { uid, index, attempt })
    }

    fn take_line(&mut self, now: i64, class: usize, place: i64, line: Line) -> Option<Grant> {
        let lane = self.lanes.get_mut(&class)?;
        let jobs = lane.lines.get_mut(&line)?;
        let first = *jobs.first()?;
        let Waiting { job, next, .. } = self.jobs.get_mut(&first.1)?;
        let flow = lane.flows.entry(line.tenant).or_default();
        let tag = if place < 0 {
            flow.time.max(job.arrival + lane.lead)
        } else {
            lane.lead = lane.lead.max(place - now);
            place
        };
        *flow = Flow { time: charged(tag, job.units), due: now + job.sla };
        let after = flow.time;
        let grant = Grant { uid: job.uid, index: *next, attempt: 1 };
        *next += 1;
        if *next == job.total {
            jobs.remove(&first);
        }
        if jobs.is_empty() {
            lane.lines.remove(&line);
            lane.leave(Member::Line(line));
        } else {
            lane.put(Member::Line(line), after);
        }
        self.leases.insert((grant.uid, grant.index), 1);
        Some(grant)
    }
}

/// A tenant's virtual time after a task; whole milliseconds, as the scripts have it.
fn charged(tag: i64, units: f64) -> i64 {
    // Below 2^53 both ways.
    #[allow(clippy::cast_possible_truncation)]
    let after = (tag as f64 + VIRTUAL_MS_PER_UNIT * units).floor() as i64;
    after
}

/// Where a line goes that should be served whatever the shares, or that presses.
fn put_first(
    lane: &Lane,
    jobs: &HashMap<u32, Waiting>,
    now: i64,
    clock: i64,
    tag: i64,
    line: Line,
) -> Option<i64> {
    let (due, uid) = *lane.lines.get(&line)?.first()?;
    let sla = jobs.get(&uid)?.job.sla;
    let served = lane.flows.get(&line.tenant).map_or(0, |flow| flow.due);
    let limit = due.max(served) - sla + MAX_WAIT * sla;
    if limit <= now + SWEEP {
        return Some(OVERDUE + limit);
    }
    let presses = due - sla / LAST_PART <= now && tag >= 0;
    presses.then(|| PRESSING + (tag - clock).clamp(PRESSING / 2, -PRESSING / 2))
}

impl Lane {
    /// Unless it stands there already.
    fn enter(&mut self, member: Member, place: i64) {
        if !self.places.contains_key(&member) {
            self.put(member, place);
        }
    }

    fn put(&mut self, member: Member, place: i64) {
        self.leave(member);
        self.places.insert(member, place);
        self.order.insert((place, member));
    }

    fn leave(&mut self, member: Member) {
        if let Some(place) = self.places.remove(&member) {
            self.order.remove(&(place, member));
        }
    }
}
