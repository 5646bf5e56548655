//! Leader election: one replica acts, the others stand by. A replica that loses the Lease ends its process,
//! which is the one sure way to stop all it was doing; Kubernetes starts it again as a standby.

use anyhow::Context as _;
use kube::Client;
use kube_lease_manager::LeaseManagerBuilder;
use tokio::sync::watch;

use crate::config::Config;

const LEASE: &str = "imagejob-operator";
/// Another replica takes over this long after the leader's last renewal, seconds.
const DURATION_SECONDS: u64 = 15;
/// The leader renews this long before its Lease ends, seconds.
const GRACE_SECONDS: u64 = 5;

/// Leadership, once won.
pub(crate) struct Leadership(watch::Receiver<bool>);

/// Waits until this replica is the leader.
pub(crate) async fn win(client: Client, config: &Config) -> anyhow::Result<Leadership> {
    let manager = LeaseManagerBuilder::new(client, LEASE)
        .with_namespace(&config.namespace)
        .with_identity(&config.identity)
        .with_duration(DURATION_SECONDS)
        .with_grace(GRACE_SECONDS)
        .build()
        .await
        .context("prepare the leader election")?;
    let (mut state, _task) = manager.watch().await;
    tracing::info!(lease = LEASE, namespace = config.namespace, "waiting to become the leader");
    state.wait_for(|leads| *leads).await.context("leader election ended")?;
    tracing::info!(identity = config.identity, "leading");
    Ok(Leadership(state))
}

impl Leadership {
    /// Returns when leadership is lost.
    pub(crate) async fn lost(mut self) {
        // An error means that the manager is gone, and with it the Lease.
        let _ = self.0.wait_for(|leads| !leads).await;
    }
}
