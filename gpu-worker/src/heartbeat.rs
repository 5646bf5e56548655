use std::{sync::Arc, time::Duration};

use queue::{Beat, Bell, HEARTBEAT, Ring};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{held::Loaded, notice::wall_clock_ms, worker::Worker};

/// While Redis is away every second counts: the leases end ten seconds after the last heartbeat.
const RETRY: Duration = Duration::from_secs(1);
/// The bell is listened to this long at a time.
const LISTEN: Duration = Duration::from_secs(60);

/// Renews the leases, says how the worker is and hears orders, for ever. Runs on its own, whatever engine and store are
/// doing.
pub(crate) async fn run(worker: Arc<Worker>) {
    let mut tick = interval(HEARTBEAT);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut notice = worker.notice.clone();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = worker.order.notified() => tick.reset(),
            Ok(()) = notice.changed() => tick.reset(),
        }
        let beat = beat_of(&worker, notice.borrow_and_update().map(|notice| notice.at(wall_clock_ms())));
        match worker.queue.beat(&worker.id, &beat).await {
            Ok(reply) => {
                worker.health.redis.works();
                worker.held.renewed(&beat.leases, &reply.leases);
                worker.health.breaker.update(reply.refuted, reply.confirmed, Instant::now());
                worker.duty.ordered(reply.order, Instant::now());
            }
            Err(error) => {
                worker.health.redis.fails(error);
                tick.reset_after(RETRY);
            }
        }
    }
}

fn beat_of(worker: &Worker, notice: Option<queue::Notice>) -> Beat {
    let loaded = match worker.held.loaded() {
        Loaded::Nothing => None,
        Loaded::Last(model) => model,
    };
    Beat {
        leases: worker.held.leases(),
        state: worker.health.state(),
        capacity: worker.capacity.as_str().into(),
        loaded,
        notice,
        trouble: worker.health.trouble(&worker.engine.state().borrow()),
    }
}

/// Listens to the bell, for ever.
pub(crate) async fn listen(worker: Arc<Worker>) {
    loop {
        let Ok(mut bell) = Bell::open(&worker.queue, &worker.id).await else {
            // The heartbeat says what is wrong with Redis.
            sleep(RETRY).await;
            continue;
        };
        // What came before we listened.
        worker.work.notify_one();
        loop {
            match bell.wait(LISTEN).await {
                Ok(Some(Ring::Work)) => worker.work.notify_one(),
                Ok(Some(Ring::Order)) => worker.order.notify_one(),
                Ok(None) => {}
                Err(_) => sleep(RETRY).await,
            }
        }
    }
}
