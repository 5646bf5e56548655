//! Jobs from queues of Amazon SQS: each intake of each tenant is followed by every replica, which compete for its messages.
//! A message is deleted once its job exists. The words of a message are those of `POST /v1/jobs`.

mod hold;
mod intake;
mod read;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crds::TenantIntake;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use crate::{app::App, cache::Cache};
use intake::Intake;

/// The front's name in metrics and labels.
pub(crate) const FRONT: &str = "sqs";
/// Between two looks at which intakes there are.
const LOOK: Duration = Duration::from_secs(1);

/// A tenant's name, and its intake's.
type Name = (String, String);

struct Running {
    spec: TenantIntake,
    /// Turns true when it is to end.
    stop: watch::Sender<bool>,
    task: AbortHandle,
}

/// Follows the intakes of all tenants until the server is told to stop, and for `drain` until what is begun is done.
pub(crate) async fn run(app: &App, drain: Duration) {
    let mut stopping = app.stopping.clone();
    let mut running: HashMap<Name, Running> = HashMap::new();
    let mut tasks = JoinSet::new();
    while !*stopping.borrow() {
        // While tenants are not listed none is known, and none begins.
        let mut wanted = wanted(&app.cache);
        running.retain(|name, Running { spec, stop, task }| {
            let stays = wanted.get(name) == Some(spec) && !task.is_finished();
            if stays {
                wanted.remove(name);
            } else {
                tracing::info!(tenant = name.0, intake = name.1, "the intake ends");
                stop.send_replace(true);
            }
            stays
        });
        for (name, spec) in wanted {
            tracing::info!(tenant = name.0, intake = name.1, queue = spec.sqs.queue_url, "the intake begins");
            let (stop, stopped) = watch::channel(false);
            let intake = Intake::new(app.clone(), name.0.clone(), spec.clone());
            let task = tasks.spawn(intake.follow(stopped));
            running.insert(name, Running { spec, stop, task });
        }
        while tasks.try_join_next().is_some() {}
        tokio::select! {
            () = sleep(LOOK) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }
    running.values().for_each(|running| {
        running.stop.send_replace(true);
    });
    let begun = Instant::now();
    if timeout(drain, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        let seconds = begun.elapsed().as_secs();
        tracing::warn!(seconds, "messages are not settled in time; their queues give them out again");
    }
}

/// The intakes of tenants that are not disabled.
fn wanted(cache: &Cache) -> HashMap<Name, TenantIntake> {
    let tenants = cache.tenants.all().into_iter().filter(|(_, tenant)| !tenant.spec.disabled);
    tenants
        .flat_map(|(name, tenant)| {
            let intakes = tenant.spec.intakes.clone().into_iter();
            intakes.map(move |intake| ((name.clone(), intake.name.clone()), intake)).collect::<Vec<_>>()
        })
        .collect()
}
