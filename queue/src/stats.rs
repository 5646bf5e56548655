//! The queue at a glance.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use crate::{
    Backlog, Error, Notice, Order, Queue, Result, Stats, WorkerId, WorkerSeen, WorkerState,
    spec::{Kind, Spec},
    task,
};

/// A worker that was not seen for longer is gone.
const LATELY_MS: u64 = 60_000;

/// A worker's name, its fields, and whether it holds a lease.
type WorkerRecord = (String, HashMap<String, String>, bool);
/// Redis' clock; then tasks by bucket, leases, job records by uid, workers, and learned times by work key.
type Answer = (
    u64,
    HashMap<String, i64>,
    Vec<task::SeenChunk>,
    HashMap<String, Vec<u8>>,
    Vec<WorkerRecord>,
    HashMap<String, f64>,
);

impl Queue {
    /// What waits, what runs, and who is there, at one moment. What can't be read is left out.
    ///
    /// # Errors
    /// When Redis can't be reached.
    pub async fn stats(&self) -> Result<Stats> {
        let (now_ms, backlog, leases, jobs, workers, unit_ms): Answer =
            self.run(|s| &s.stats, |_| {}).await?;
        let seen = |chunk: &task::SeenChunk| {
            let (uid, _) = chunk.0.rsplit_once('/')?;
            task::lease_seen(chunk, Spec::decode(jobs.get(uid)?).ok()?)
        };
        let leases = leases.iter().filter_map(seen).collect();
        let workers = workers.iter().filter_map(|record| worker_seen(record, now_ms).ok());
        let here =
            |worker: &WorkerSeen| worker.idle_since_ms.is_none() || worker.seen_ms + LATELY_MS >= now_ms;
        let mut workers: Vec<WorkerSeen> = workers.filter(here).collect();
        workers.sort_by(|a, b| a.worker.cmp(&b.worker));
        let mut stats = Stats { now_ms, leases, workers, unit_ms, ..Stats::default() };
        let buckets = backlog.into_iter().filter_map(|(bucket, tasks)| {
            let (due_ms, kind) = Kind::decode(&bucket).ok()?;
            Some((due_ms, kind, u64::try_from(tasks).ok()?))
        });
        count_backlog(buckets.collect(), &mut stats);
        Ok(stats)
    }
}

fn worker_seen((name, fields, busy): &WorkerRecord, now_ms: u64) -> Result<WorkerSeen> {
    let text = |field: &str| fields.get(field).map(String::as_str).unwrap_or_default();
    let number = |field: &str| match text(field) {
        "" => Ok(0),
        number => number.parse::<u64>().map_err(|error| Error::malformed("worker", error)),
    };
    let (seen_ms, idle) = (number("seen")?, number("idle")?);
    let left = |until: u64| Duration::from_millis(until.saturating_sub(now_ms));
    let order = if text("order").is_empty() { "work" } else { text("order") };
    let trouble = Some(text("trouble")).filter(|json| !json.is_empty());
    Ok(WorkerSeen {
        worker: WorkerId(name.clone()),
        order: Order::decode(order, number("deadline")?.saturating_sub(now_ms))?,
        state: WorkerState::parse(text("state")),
        capacity: text("capacity").to_owned(),
        // A worker of another version may say it in another way; it is there nevertheless.
        trouble: trouble.and_then(|json| task::from_json("worker", json.as_bytes()).ok()),
        loaded: Some(text("loaded").to_owned()).filter(|loaded| !loaded.is_empty()),
        notice: Notice::decode(text("notice"), left(number("until")?))?,
        seen_ms,
        idle_since_ms: (!busy).then_some(if idle == 0 { seen_ms } else { idle }),
    })
}

/// Counts what may run; of a tenant with a limit, the most urgent tasks that fit beside what runs.
fn count_backlog(mut buckets: Vec<(u64, Kind, u64)>, stats: &mut Stats) {
    let mut running: HashMap<&str, u64> = HashMap::new();
    for lease in &stats.leases {
        *running.entry(&lease.tenant).or_default() += 1;
    }
    buckets.sort_by_key(|(due_ms, ..)| *due_ms);
    let mut backlog: BTreeMap<(String, String, String, u64), Backlog> = BTreeMap::new();
    let mut granted: HashMap<String, u64> = HashMap::new();
    for (due_ms, kind, waiting) in buckets {
        let Kind { class, model, work, sla_ms, units, limited } = kind;
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
