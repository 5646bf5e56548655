//! Leader election: one replica acts, the others stand by. A replica that loses the Lease ends its process,
//! which is the one sure way to stop all it was doing; Kubernetes starts it again as a standby. One that is told
//! to stop gives the Lease up, and a standby takes over within seconds.

use std::time::Duration;

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::config::Config;

const LEASE: &str = "imagejob-operator";
/// Another replica takes over this long after the last renewal of a leader that died, seconds.
const DURATION_SECONDS: u64 = 15;
/// The leader renews this long before its Lease ends, seconds.
const GRACE_SECONDS: u64 = 5;
/// How often a standby looks whether the Lease was given up.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Longest wait for the API server while the Lease is given up; what is not given up ends by itself.
const RELEASE_WITHIN: Duration = Duration::from_secs(3);

/// Leadership, once won.
pub(crate) struct Leadership {
    leads: watch::Receiver<bool>,
    keeper: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
}

/// Waits until this replica is the leader.
pub(crate) async fn win(client: &Client, config: &Config) -> Leadership {
    tracing::info!(lease = LEASE, namespace = config.namespace, "waiting to become the leader");
    loop {
        match try_once(client, config).await {
            Ok(Some(leadership)) => {
                tracing::info!(identity = config.identity, "leading");
                return leadership;
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "the leader election can't be held, trying again");
                sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// `None`: another replica leads. A manager that waits looks at the Lease only when it would have ended; a new one
/// sees at once that it was given up.
async fn try_once(client: &Client, config: &Config) -> Result<Option<Leadership>, LeaseManagerError> {
    let manager = LeaseManagerBuilder::new(client.clone(), LEASE)
        .with_namespace(&config.namespace)
        .with_identity(&config.identity)
        .with_duration(DURATION_SECONDS)
        .with_grace(GRACE_SECONDS)
        .build()
        .await?;
    let leads = timeout(LOOK_EVERY, manager.changed()).await.unwrap_or(Ok(false))?;
    if !leads {
        return Ok(None);
    }
    let (leads, keeper) = manager.watch().await;
    Ok(Some(Leadership { leads, keeper }))
}

impl Leadership {
    /// Returns when leadership is lost.
    pub(crate) async fn lost(&mut self) {
        // An error means that the manager is gone, and with it the Lease.
        let _ = self.leads.wait_for(|leads| !leads).await;
    }

    /// Gives the Lease up, so that a standby need not wait for its end. All that this replica did as the leader must
    /// have stopped.
    pub(crate) async fn release(self) {
        let Self { leads, keeper } = self;
        // That nobody listens any more is the keeper's sign to give it up.
        drop(leads);
        match timeout(RELEASE_WITHIN, keeper).await {
            Ok(Ok(Ok(_))) => tracing::info!("no longer the leader"),
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the Lease is not given up; it ends by itself"),
            Ok(Err(_)) | Err(_) => tracing::warn!("the Lease is not given up; it ends by itself"),
        }
    }
}
