use std::{sync::Arc, time::Duration};

use anyhow::bail;
use queue::Claim;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    backoff::Backoff,
    comfyui::State,
    duty::Now,
    held::{Ahead, Loaded},
    orphans, task,
    worker::Worker,
};

/// The next task is claimed when the one before it is about to be done, so that it lies in the engine's queue
/// by then: enough for the way to Redis and back, too little to keep a task from an idle worker.
const LOOKAHEAD: Duration = Duration::from_millis(500);
/// What was claimed ahead is handed back when the task before it takes so much longer than it seemed.
const OVERRUN: Duration = Duration::from_secs(1);
/// Tasks in hand, those that wait for the bucket included; how much memory their pictures take has a bound of its own.
const MOST_HELD: usize = 6;
/// New work rings the bell; this finds what a lost ring did not say.
const POLL: Duration = Duration::from_secs(1);
/// Between two tries of a bucket or a disk that does not work.
const TRY_EVERY: Duration = Duration::from_secs(3);
/// Beyond the deadline, to say what is handed back; a deadline may have passed when we hear of it.
const HAND_BACK: Duration = Duration::from_secs(2);
/// An engine that has to be restarted is waited for this long before we leave, so that whoever watches us can
/// replace the whole machine.
const UNHEALTHY_PATIENCE: Duration = Duration::from_secs(300);
const REDIS_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Claim,
    /// See whether the bucket takes pictures, as nothing on its way there will show it.
    TryOutput,
    /// See whether the engine can write again.
    TryDisk,
    /// Until something changes.
    Wait,
    /// The same, but no longer than this.
    WaitFor(Duration),
    Exit,
}

/// What a step depends on.
#[derive(Debug, Clone, Copy)]
struct Seen {
    duty: Now,
    is_to_blame: bool,
    engine_is_up: bool,
    disk_works: bool,
    output_works: bool,
    held: usize,
    ahead: Ahead,
    now: Instant,
}

/// Claims tasks and sees them through until the worker has to go.
pub(crate) async fn run(worker: &Arc<Worker>) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    let mut changes = worker.held.changes();
    let mut duty = worker.duty.watch();
    let mut engine = worker.engine.state();
    let mut redis_backoff = Backoff::new(REDIS_BACKOFF.0, REDIS_BACKOFF.1);
    let mut unhealthy_since = None;
    let mut is_cleared = false;
    loop {
        let state = engine.borrow_and_update().clone();
        check_patience(&state, &mut unhealthy_since)?;
        let is_up = matches!(state, State::Up(_));
        if !is_up {
            worker.held.unloaded();
        }
        changes.mark_unchanged();
        duty.mark_unchanged();
        let seen = worker.seen(is_up);
        let late = worker.held.hand_back_late(seen.now);
        let longest = match step(&seen) {
            Step::Exit => return Ok(()),
            Step::Wait => POLL,
            Step::WaitFor(time) => time.min(POLL),
            step @ (Step::TryOutput | Step::TryDisk) => {
                let trying = async {
                    match step {
                        Step::TryDisk => worker.try_disk().await,
                        _ => worker.try_output().await,
                    }
                };
                tokio::select! {
                    works = trying => if works { continue },
                    _ = duty.changed() => continue,
                }
                TRY_EVERY
            }
            Step::Claim => {
                if !is_cleared {
                    orphans::clear_own(worker).await;
                    is_cleared = true;
                    worker.health.started();
                    tracing::info!(worker = %worker.id, pool = worker.pool, "ready for work");
                }
                let begin_by = match seen.ahead {
                    Ahead::One(Some(left)) => Some(seen.now + left + OVERRUN),
                    Ahead::One(None) | Ahead::Nothing | Ahead::Enough => None,
                };
                match worker.claim().await {
                    Ok(leases) => {
                        worker.health.redis.works();
                        redis_backoff = Backoff::new(REDIS_BACKOFF.0, REDIS_BACKOFF.1);
                        let some = !leases.is_empty();
                        for lease in leases {
                            let seat = worker.held.take(&lease, begin_by);
                            tasks.spawn(task::run(worker.clone(), lease, seat));
                        }
                        if some {
                            continue;
                        }
                        // Nothing to be had: steps of the picture at hand are no reason to ask again.
                        tokio::select! {
                            () = worker.work.notified() => {}
                            Some(_) = tasks.join_next() => {}
                            _ = duty.changed() => {}
                            _ = engine.changed() => {}
                            () = sleep(POLL) => {}
                        }
                    }
                    Err(error) => {
                        worker.health.redis.fails(error);
                        redis_backoff.wait().await;
                    }
                }
                continue;
            }
        };
        let until = (seen.now + longest).min(late.unwrap_or(seen.now + longest));
        tokio::select! {
            _ = changes.changed() => {}
            Some(_) = tasks.join_next() => {}
            _ = duty.changed() => {}
            _ = engine.changed() => {}
            () = sleep_until(until) => {}
        }
        worker.metrics.held.set(i64::try_from(worker.held.count()).unwrap_or(i64::MAX));
    }
}

fn check_patience(state: &State, since: &mut Option<Instant>) -> anyhow::Result<()> {
    let State::Unhealthy { why } = state else {
        *since = None;
        return Ok(());
    };
    if since.get_or_insert_with(Instant::now).elapsed() >= UNHEALTHY_PATIENCE {
        bail!("the engine has not been restarted for {}s: {why}", UNHEALTHY_PATIENCE.as_secs());
    }
    Ok(())
}

impl Worker {
    fn seen(&self, engine_is_up: bool) -> Seen {
        let now = Instant::now();
        Seen {
            duty: self.duty.now(),
            is_to_blame: self.health.breaker.why().is_some(),
            engine_is_up,
            disk_works: self.health.disk.trouble().is_none(),
            output_works: self.health.output.trouble().is_none(),
            held: self.held.count(),
            ahead: self.held.ahead(now),
            now,
        }
    }

    async fn claim(&self) -> queue::Result<Vec<queue::Lease>> {
        let loaded = match self.held.loaded() {
            Loaded::Nothing => self.warm_model.clone(),
            Loaded::Last(model) => model,
        };
        let claim =
            Claim { worker: self.id.clone(), capacity: self.capacity.as_str().into(), loaded, max: 1 };
        self.queue.claim(&claim).await
    }

    async fn try_output(&self) -> bool {
        match self.store.probe().await {
            Ok(abilities) => {
                self.metrics.conditional_writes(abilities.conditions);
                self.health.output.works();
                true
            }
            Err(error) => {
                self.health.output_fails(&error);
                false
            }
        }
    }

    async fn try_disk(&self) -> bool {
        match self.engine.inspect_disk().await {
            Ok(()) => self.health.disk.works(),
            // What it said first says more than that a small file can't be written.
            Err(error) => tracing::debug!(%error, "the engine's disk still does not work"),
        }
        self.health.disk.trouble().is_none()
    }
}

fn step(seen: &Seen) -> Step {
    let Seen { duty, is_to_blame, engine_is_up, disk_works, output_works, held, ahead, now } = *seen;
    match duty {
        Now::Leave { by } if held == 0 || by + HAND_BACK <= now => return Step::Exit,
        Now::Leave { by } => return Step::WaitFor(by + HAND_BACK - now),
        Now::Retire if held == 0 => return Step::Exit,
        Now::Retire | Now::Hold => return Step::Wait,
        Now::Work => {}
    }
    if is_to_blame {
        return Step::Wait;
    }
    if !output_works {
        return if held == 0 { Step::TryOutput } else { Step::Wait };
    }
    if !engine_is_up {
        return Step::Wait;
    }
    if !disk_works {
        return Step::TryDisk;
    }
    if held >= MOST_HELD {
        return Step::Wait;
    }
    match ahead {
        Ahead::Nothing => Step::Claim,
        Ahead::One(Some(left)) if left <= LOOKAHEAD => Step::Claim,
        Ahead::One(Some(left)) => Step::WaitFor(left - LOOKAHEAD),
        Ahead::One(None) | Ahead::Enough => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{HAND_BACK, LOOKAHEAD, MOST_HELD, Seen, Step, step};
    use crate::{duty::Now, held::Ahead};

    fn after(change: impl FnOnce(&mut Seen)) -> Step {
        let mut seen = Seen {
            duty: Now::Work,
            is_to_blame: false,
            engine_is_up: true,
            disk_works: true,
            output_works: true,
            held: 0,
            ahead: Ahead::Nothing,
            now: Instant::now(),
        };
        change(&mut seen);
        step(&seen)
    }

    fn one(left: Duration) -> Ahead {
        Ahead::One(Some(left))
    }

    #[test]
    fn the_next_task_is_claimed_just_before_the_engine_would_idle() {
        assert_eq!(after(|_| ()), Step::Claim);
        assert_eq!(after(|seen| seen.ahead = Ahead::One(None)), Step::Wait);
        let second = Duration::from_secs(1);
        assert_eq!(after(|seen| seen.ahead = one(second)), Step::WaitFor(second - LOOKAHEAD));
        assert_eq!(after(|seen| seen.ahead = one(LOOKAHEAD)), Step::Claim);
        assert_eq!(after(|seen| seen.ahead = Ahead::Enough), Step::Wait);
    }

    #[test]
    fn nothing_is_claimed_that_could_not_be_finished() {
        assert_eq!(after(|seen| seen.engine_is_up = false), Step::Wait);
        assert_eq!(after(|seen| seen.output_works = false), Step::TryOutput);
        assert_eq!(after(|seen| (seen.output_works, seen.engine_is_up) = (false, false)), Step::TryOutput);
        assert_eq!(after(|seen| (seen.output_works, seen.held) = (false, 1)), Step::Wait);
        assert_eq!(after(|seen| seen.disk_works = false), Step::TryDisk);
        assert_eq!(after(|seen| (seen.disk_works, seen.engine_is_up) = (false, false)), Step::Wait);
        assert_eq!(after(|seen| seen.is_to_blame = true), Step::Wait);
        assert_eq!(after(|seen| seen.held = MOST_HELD), Step::Wait);
    }

    #[test]
    fn orders_come_before_work() {
        assert_eq!(after(|seen| seen.duty = Now::Hold), Step::Wait);
        assert_eq!(after(|seen| seen.duty = Now::Retire), Step::Exit);
        assert_eq!(after(|seen| (seen.duty, seen.held) = (Now::Retire, 1)), Step::Wait);
        let soon = Duration::from_secs(5);
        assert_eq!(after(|seen| seen.duty = Now::Leave { by: seen.now + soon }), Step::Exit);
        let busy = |seen: &mut Seen| (seen.duty, seen.held) = (Now::Leave { by: seen.now + soon }, 1);
        assert_eq!(after(busy), Step::WaitFor(soon + HAND_BACK));
        let late = |seen: &mut Seen| (seen.duty, seen.held) = (Now::Leave { by: seen.now - HAND_BACK }, 1);
        assert_eq!(after(late), Step::Exit);
    }
}
