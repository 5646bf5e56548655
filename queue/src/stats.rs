//! The queue at a glance.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use crate::{
    Backlog, Error, Notice, Order, Queue, Result, Stats, WorkerId, WorkerSeen, WorkerState,
    spec::{Bucket, Spec, whole},
    task::{self, Held},
};

/// A worker that was not seen for longer is gone.
const LATELY_MS: u64 = 60_000;

/// Redis' clock; then tasks by bucket, leases by task, job records by uid, ends of leases by task, workers by name.
type Answer = (
    u64,
    HashMap<Vec<u8>, i64>,
    HashMap<String, Vec<u8>>,
    HashMap<String, Vec<u8>>,
    HashMap<String, f64>,
    HashMap<String, String>,
);

impl Queue {
    /// What waits, what runs, and who is there, at one moment.
    ///
    /// # Errors
    /// When Redis can't be reached or a record is malformed.
    pub async fn stats(&self) -> Result<Stats> {
        let (now_ms, backlog, active, jobs, ends, workers): Answer = self.run(|s| &s.stats, |_| {}).await?;
        let (mut leases, mut busy) = (Vec::new(), HashSet::new());
        for (member, entry) in active {
            let held = Held::decode(&entry)?;
            busy.insert(held.worker.clone());
            let task = task::task_id(&member)?;
            // A forgotten job's tasks end at their workers' next heartbeat.
            if let Some(record) = jobs.get(&task.job.0).filter(|record| !record.is_empty()) {
                // A lease without an end is as good as ended: the reaper will find it.
                let expires_ms = ends.get(&member).copied().map_or(now_ms, whole);
                leases.push(held.seen(task, Spec::decode(record)?, expires_ms));
            }
        }
        let workers = workers_seen(now_ms, &workers, &busy)?;
        let mut stats = Stats { now_ms, leases, workers, ..Stats::default() };
        let mut buckets = Vec::new();
        for (bucket, tasks) in backlog {
            if let Ok(tasks) = u64::try_from(tasks) {
                buckets.push((Bucket::decode(&bucket)?, tasks));
            }
        }
        count_backlog(buckets, &mut stats);
        Ok(stats)
    }
}

fn workers_seen(
    now_ms: u64,
    records: &HashMap<String, String>,
    busy: &HashSet<WorkerId>,
) -> Result<Vec<WorkerSeen>> {
    let mut seen = Vec::new();
    for (name, record) in records {
        let worker = WorkerId(name.clone());
        let busy = busy.contains(&worker);
        let worker = worker_seen(worker, record, busy, now_ms)?;
        if busy || worker.seen_ms + LATELY_MS >= now_ms {
            seen.push(worker);
        }
    }
    seen.sort_by(|a, b| a.worker.cmp(&b.worker));
    Ok(seen)
}

/// `order deadline seen idle ordered\nloaded\nnotice until\nstate capacity\ntrouble`, as lua/worker.lua writes it.
fn worker_seen(worker: WorkerId, record: &str, busy: bool, now_ms: u64) -> Result<WorkerSeen> {
    let bad = || Error::malformed("worker", record);
    let lines: Vec<&str> = record.splitn(5, '\n').collect();
    let [head, loaded, notice, state, trouble] = lines[..] else { return Err(bad()) };
    let (letter, numbers) = head.split_once(' ').ok_or_else(bad)?;
    let numbers: Vec<u64> =
        numbers.split(' ').map(str::parse).collect::<std::result::Result<_, _>>().map_err(|_| bad())?;
    let [deadline, seen_ms, idle, _ordered] = numbers[..] else { return Err(bad()) };
    let (notice, until) = notice.split_once(' ').ok_or_else(bad)?;
    let until: u64 = until.parse().map_err(|_| bad())?;
    let (state, capacity) = state.split_once(' ').ok_or_else(bad)?;
    let trouble = (!trouble.is_empty()).then(|| serde_json::from_str(trouble)).transpose();
    Ok(WorkerSeen {
        order: Order::decode(letter, deadline.saturating_sub(now_ms))?,
        worker,
        state: WorkerState::parse(state),
        capacity: capacity.to_owned(),
        trouble: trouble.map_err(|_| bad())?,
        loaded: (!loaded.is_empty()).then(|| loaded.to_owned()),
        notice: Notice::decode(notice, Duration::from_millis(until.saturating_sub(now_ms)))?,
        seen_ms,
        idle_since_ms: (!busy).then_some(if idle == 0 { seen_ms } else { idle }),
    })
}

/// Counts what may run; of a tenant with a limit, the most urgent tasks that fit beside what runs.
fn count_backlog(mut buckets: Vec<(Bucket, u64)>, stats: &mut Stats) {
    let mut running: HashMap<&str, u64> = HashMap::new();
    for lease in &stats.leases {
        *running.entry(&lease.tenant).or_default() += 1;
    }
    buckets.sort_by_key(|(bucket, _)| bucket.due_ms);
    let mut backlog: BTreeMap<(String, String, String, u64), Backlog> = BTreeMap::new();
    let mut granted: HashMap<String, u64> = HashMap::new();
    for (bucket, waiting) in buckets {
        let Bucket { class, model, work, due_ms, sla_ms, units, limited } = bucket;
        let tasks = limited.map_or(waiting, |(tenant, limit)| {
            let running = running.get(tenant.as_str()).copied().unwrap_or_default();
            let granted = granted.entry(tenant).or_default();
            let room = u64::from(limit).saturating_sub(running + *granted);
            let fits = waiting.min(room);
            *granted += fits;
            fits
        });
        stats.held_back += waiting - tasks;
        let arrival = due_ms.saturating_sub(sla_ms);
        stats.oldest_ms = Some(stats.oldest_ms.map_or(arrival, |oldest| oldest.min(arrival)));
        if tasks > 0 {
            let key = (class, model, work, due_ms);
            let entry = backlog.entry(key).or_insert_with_key(|(class, model, work, due_ms)| Backlog {
                class: class.clone(),
                model: model.clone(),
                work: work.clone(),
                due_ms: *due_ms,
                tasks: 0,
                units: 0.0,
            });
            entry.tasks += tasks;
            #[allow(clippy::cast_precision_loss)] // tasks are far below 2^53
            {
                entry.units += units * tasks as f64;
            }
        }
    }
    stats.backlog = backlog.into_values().collect();
}
