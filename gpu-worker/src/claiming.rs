use std::{sync::Arc, time::Duration};

use anyhow::bail;
use queue::Claim;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{backoff::Backoff, comfyui::State, duty::Now, held::Ahead, task, worker::Worker};

/// The next task is claimed when the one before it is about to be done, so that it lies in the engine's queue
/// by then: enough for the way to Redis and back, too little to keep a task from an idle worker.
const LOOKAHEAD: Duration = Duration::from_millis(500);
/// Pictures that can't be uploaded wait in memory; beyond so many tasks in hand nothing more is claimed.
const MOST_HELD: usize = 6;
/// New work rings the bell; this is for a bell not heard.
const POLL: Duration = Duration::from_secs(1);
/// Beyond the deadline, to say what is handed back; a deadline may have passed when we hear of it.
const HAND_BACK: Duration = Duration::from_secs(2);
/// An engine that has to be restarted is waited for this long before we leave, so that whoever watches us can
/// replace the whole machine.
const BROKEN_PATIENCE: Duration = Duration::from_secs(300);

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Claim,
    /// The bucket is in trouble and nothing is on its way there: see whether it is well again.
    TryOutput,
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
    engine_up: bool,
    output_well: bool,
    held: usize,
    ahead: Ahead,
    now: Instant,
}

/// Claims tasks and sees them through until the worker is told to go.
pub(crate) async fn run(worker: &Arc<Worker>) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    let mut changes = worker.held.changes();
    let mut duty = worker.duty.watch();
    let mut engine = worker.engine.state();
    let mut redis_backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let mut broken_since = None;
    loop {
        let state = engine.borrow_and_update().clone();
        check_patience(&state, &mut broken_since)?;
        if !matches!(state, State::Up(_)) {
            worker.held.unloaded();
        }
        changes.mark_unchanged();
        duty.mark_unchanged();
        let seen = worker.seen(matches!(state, State::Up(_)));
        let longest = match step(&seen) {
            Step::Exit => return Ok(()),
            Step::Wait => POLL,
            Step::WaitFor(time) => time.min(POLL),
            Step::TryOutput => {
                tokio::select! {
                    checked = worker.store.check() => match checked {
                        Ok(()) => worker.health.output.well(),
                        Err(error) => worker.health.output.ill(error),
                    },
                    _ = duty.changed() => continue,
                }
                POLL
            }
            Step::Claim => match worker.claim().await {
                Ok(leases) => {
                    worker.health.redis.well();
                    redis_backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
                    let some = !leases.is_empty();
                    for lease in leases {
                        let seat = worker.held.take(&lease);
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
                    continue;
                }
                Err(error) => {
                    worker.health.redis.ill(error);
                    redis_backoff.wait().await;
                    continue;
                }
            },
        };
        tokio::select! {
            _ = changes.changed() => {}
            Some(_) = tasks.join_next() => {}
            _ = duty.changed() => {}
            _ = engine.changed() => {}
            () = sleep_until(seen.now + longest) => {}
        }
        worker.metrics.held.set(i64::try_from(worker.held.count()).unwrap_or(i64::MAX));
    }
}

fn check_patience(state: &State, since: &mut Option<Instant>) -> anyhow::Result<()> {
    let State::Broken { why } = state else {
        *since = None;
        return Ok(());
    };
    if since.get_or_insert_with(Instant::now).elapsed() >= BROKEN_PATIENCE {
        bail!("the engine has not been restarted for {}s: {why}", BROKEN_PATIENCE.as_secs());
    }
    Ok(())
}

impl Worker {
    fn seen(&self, engine_up: bool) -> Seen {
        let now = Instant::now();
        Seen {
            duty: self.duty.now(),
            engine_up,
            output_well: self.health.output.trouble().is_none(),
            held: self.held.count(),
            ahead: self.held.ahead(now),
            now,
        }
    }

    async fn claim(&self) -> queue::Result<Vec<queue::Lease>> {
        let claim = Claim {
            worker: self.id.clone(),
            capacity: self.capacity.as_str().into(),
            loaded: self.held.loaded().or_else(|| self.warm_model.clone()),
            max: 1,
        };
        self.queue.claim(&claim).await
    }
}

fn step(seen: &Seen) -> Step {
    let Seen { duty, engine_up, output_well, held, ahead, now } = *seen;
    match duty {
        Now::Leave { by } if held == 0 || by + HAND_BACK <= now => return Step::Exit,
        Now::Leave { by } => return Step::WaitFor(by + HAND_BACK - now),
        Now::Retire if held == 0 => return Step::Exit,
        Now::Retire | Now::Hold => return Step::Wait,
        Now::Work => {}
    }
    if !output_well {
        return if held == 0 { Step::TryOutput } else { Step::Wait };
    }
    if !engine_up || held >= MOST_HELD {
        return Step::Wait;
    }
    match ahead {
        Ahead::Nothing => Step::Claim,
        Ahead::One(Some(left)) if left.soonest <= LOOKAHEAD => Step::Claim,
        Ahead::One(Some(left)) => Step::WaitFor(left.soonest - LOOKAHEAD),
        Ahead::One(None) | Ahead::Enough => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{HAND_BACK, LOOKAHEAD, MOST_HELD, Seen, Step, step};
    use crate::{duty::Now, held::Ahead, pace::Estimate};

    fn after(change: impl FnOnce(&mut Seen)) -> Step {
        let mut seen = Seen {
            duty: Now::Work,
            engine_up: true,
            output_well: true,
            held: 0,
            ahead: Ahead::Nothing,
            now: Instant::now(),
        };
        change(&mut seen);
        step(&seen)
    }

    fn one(soonest: Duration) -> Ahead {
        Ahead::One(Some(Estimate { soonest, latest: soonest }))
    }

    #[test]
    fn the_next_task_is_claimed_just_before_the_engine_runs_dry() {
        assert_eq!(after(|_| ()), Step::Claim);
        assert_eq!(after(|seen| seen.ahead = Ahead::One(None)), Step::Wait);
        let second = Duration::from_secs(1);
        assert_eq!(after(|seen| seen.ahead = one(second)), Step::WaitFor(second - LOOKAHEAD));
        assert_eq!(after(|seen| seen.ahead = one(LOOKAHEAD)), Step::Claim);
        assert_eq!(after(|seen| seen.ahead = Ahead::Enough), Step::Wait);
    }

    #[test]
    fn nothing_is_claimed_that_could_not_be_finished() {
        assert_eq!(after(|seen| seen.engine_up = false), Step::Wait);
        assert_eq!(after(|seen| seen.output_well = false), Step::TryOutput);
        assert_eq!(after(|seen| (seen.output_well, seen.held) = (false, 1)), Step::Wait);
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
