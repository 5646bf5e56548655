//! Leader election: one replica acts, the others stand by.
//!
//! A Lease is held by renewing it. Whether a Lease of another replica has ended is told by this replica's own clock: it
//! must have seen it unchanged for [`DURATION`], so clocks that differ steal nothing. A leader ends its process when it
//! could not renew for [`DURATION`] less [`MARGIN`], however its last request hangs: nobody else leads before that.
//!
//! The Lease counts how often it changed hands. That number is the leader's *term*, and goes with everything it does to
//! the queue: the queue refuses what an older term asks for.

use std::time::Duration;

use anyhow::Context as _;
use json_patch::{AddOperation, Patch as JsonPatch, PatchOperation, ReplaceOperation, jsonptr::PointerBuf};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    core::ObjectMeta,
};
use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::config::Config;

const LEASE: &str = "imagejob-operator";
/// A Lease not renewed for this long is free.
const DURATION: Duration = Duration::from_secs(15);
/// A leader that can't renew stops acting so long before its Lease is free.
const MARGIN: Duration = Duration::from_secs(3);
/// From one renewal to the next; sooner than that never, later if the answer takes longer.
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// Longest wait for the answer to a request. An API server under load takes 5 s, and leads to no change of leaders.
const ANSWER_WITHIN: Duration = Duration::from_secs(7);
/// How often a standby looks at the Lease.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Longest wait for the API server while the Lease is given up; what is not given up ends by itself.
const RELEASE_WITHIN: Duration = Duration::from_secs(3);

/// Leadership, once won.
pub(crate) struct Leadership {
    election: Election,
    term: u64,
    valid_until: watch::Receiver<Instant>,
    renewer: AbortOnDropHandle<()>,
}

/// Says whether this replica still leads. Asked before everything that has an effect.
#[derive(Clone)]
pub(crate) struct Leads(watch::Receiver<Instant>);

impl Leads {
    pub(crate) fn now(&self) -> bool {
        Instant::now() < *self.0.borrow()
    }

    /// One that leads for ever.
    #[cfg(test)]
    pub(crate) fn always() -> Self {
        Self(watch::channel(Instant::now() + Duration::from_secs(365 * 24 * 3600)).1)
    }
}

/// Waits until this replica is the leader.
pub(crate) async fn win(client: &Client, config: &Config) -> Leadership {
    tracing::info!(lease = LEASE, namespace = config.namespace, "waiting to become the leader");
    let election = Election::new(client, config);
    let mut seen = Seen::default();
    loop {
        match election.try_once(&mut seen).await {
            Ok(Some((lease, sent))) => {
                tracing::info!(identity = config.identity, term = transitions(&lease), "leading");
                return Leadership::new(election, &lease, sent);
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the leader election can't be held, trying again"),
        }
        sleep(LOOK_EVERY).await;
    }
}

impl Leadership {
    /// `sent`: when the request was sent that won it.
    fn new(election: Election, lease: &Lease, sent: Instant) -> Self {
        let (renewed, valid_until) = watch::channel(sent + DURATION - MARGIN);
        let renewals = election.clone().renew(lease.clone(), sent, renewed);
        let renewer = AbortOnDropHandle::new(tokio::spawn(renewals));
        Self { election, term: transitions(lease), valid_until, renewer }
    }

    /// How often the Lease changed hands: higher than that of every leader before.
    pub(crate) fn term(&self) -> u64 {
        self.term
    }

    pub(crate) fn leads(&self) -> Leads {
        Leads(self.valid_until.clone())
    }

    /// Returns when leadership is lost: taken by another replica, or not renewed in time.
    pub(crate) async fn lost(&mut self) {
        loop {
            let until = *self.valid_until.borrow_and_update();
            tokio::select! {
                () = sleep_until(until) => return,
                renewed = self.valid_until.changed() => if renewed.is_err() {
                    return;
                },
            }
        }
    }

    /// Gives the Lease up, so that a standby need not wait for its end. All that this replica did as the leader must
    /// have stopped.
    pub(crate) async fn release(self) {
        let Self { election, term, valid_until: _, renewer } = self;
        renewer.abort();
        match timeout(RELEASE_WITHIN, election.release(term)).await {
            Ok(Ok(())) => tracing::info!("no longer the leader"),
            Ok(Err(error)) => tracing::warn!(%error, "the Lease is not given up; it ends by itself"),
            Err(_) => tracing::warn!("the Lease is not given up in time; it ends by itself"),
        }
    }
}

/// The Lease, and who asks for it.
#[derive(Clone)]
struct Election {
    leases: Api<Lease>,
    identity: String,
}

/// What came of a renewal.
enum Renewal {
    Renewed(Lease),
    /// An earlier one whose answer was lost: it stands, and counts from when that was sent.
    Found(Lease),
    /// It is another's.
    Taken,
}

/// The Lease of another replica, as last seen.
#[derive(Default)]
struct Seen(Option<(String, Instant)>);

impl Seen {
    /// Whether the Lease was there unchanged for as long as it lasts.
    fn has_ended(&mut self, version: String, now: Instant) -> bool {
        match &self.0 {
            Some((seen, since)) if *seen == version => now.duration_since(*since) >= DURATION,
            _ => {
                self.0 = Some((version, now));
                false
            }
        }
    }
}

impl Election {
    fn new(client: &Client, config: &Config) -> Self {
        let leases = Api::namespaced(client.clone(), &config.namespace);
        Self { leases, identity: config.identity.clone() }
    }

    /// The Lease, and when the request was sent that took it. `None`: another replica leads.
    async fn try_once(&self, seen: &mut Seen) -> anyhow::Result<Option<(Lease, Instant)>> {
        let found = answered(self.leases.get_opt(LEASE)).await?;
        let sent = Instant::now();
        let held = |lease: Option<Lease>| lease.map(|lease| (lease, sent));
        let Some(lease) = found else { return Ok(held(answered(self.create()).await?)) };
        let holder = holder(&lease);
        // A process that was restarted under its old name begins a new term at once: the old one is gone.
        let free = holder.is_empty() || holder == self.identity;
        if !free && !seen.has_ended(lease.resource_version().unwrap_or_default(), Instant::now()) {
            return Ok(None);
        }
        let term = transitions(&lease).saturating_add(1);
        Ok(held(answered(self.patch(&lease, &self.held(term))).await?))
    }

    /// `None`: another replica was quicker.
    async fn create(&self) -> Result<Option<Lease>, kube::Error> {
        let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(self.held(1)) };
        taken(self.leases.create(&PostParams::default(), &lease).await)
    }

    /// Renews until the Lease is another's. Each renewal counts from when it was sent.
    async fn renew(self, mut lease: Lease, sent: Instant, renewed: watch::Sender<Instant>) {
        let term = transitions(&lease);
        let mut next = sent + RENEW_EVERY;
        loop {
            sleep_until(next).await;
            let sent = Instant::now();
            next = sent + RENEW_EVERY;
            match self.renew_once(&lease, term).await {
                Ok(Renewal::Renewed(newer)) => {
                    lease = newer;
                    renewed.send_replace(sent + DURATION - MARGIN);
                }
                Ok(Renewal::Found(newer)) => (lease, next) = (newer, sent),
                Ok(Renewal::Taken) => {
                    tracing::error!("another replica has taken the Lease");
                    renewed.send_replace(Instant::now());
                    return;
                }
                Err(error) => tracing::warn!(%error, "the Lease is not renewed, trying again"),
            }
        }
    }

    async fn renew_once(&self, lease: &Lease, term: u64) -> anyhow::Result<Renewal> {
        if let Some(renewed) = answered(self.patch(lease, &self.held(term))).await? {
            return Ok(Renewal::Renewed(renewed));
        }
        let now = answered(self.leases.get_opt(LEASE)).await?;
        let ours = |lease: &Lease| holder(lease) == self.identity && transitions(lease) == term;
        Ok(now.filter(ours).map_or(Renewal::Taken, Renewal::Found))
    }

    async fn release(&self, term: u64) -> Result<(), kube::Error> {
        let Some(lease) = self.leases.get_opt(LEASE).await? else { return Ok(()) };
        if holder(&lease) != self.identity || transitions(&lease) != term {
            return Ok(());
        }
        let free = LeaseSpec { holder_identity: Some(String::new()), ..self.held(term) };
        self.patch(&lease, &free).await.map(drop)
    }

    fn held(&self, term: u64) -> LeaseSpec {
        let now = jiff::Timestamp::now();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            lease_transitions: Some(i32::try_from(term).unwrap_or(i32::MAX)),
            renew_time: Some(MicroTime(now)),
            acquire_time: None,
            ..LeaseSpec::default()
        }
    }

    /// Only on this version of the Lease; `None`: there is a newer one.
    async fn patch(&self, lease: &Lease, spec: &LeaseSpec) -> Result<Option<Lease>, kube::Error> {
        let pointer = |path: &[&str]| PointerBuf::from_tokens(path.iter().copied());
        let version = Value::String(lease.resource_version().unwrap_or_default());
        let path = pointer(&["metadata", "resourceVersion"]);
        let unmoved = PatchOperation::Replace(ReplaceOperation { path, value: version });
        let value = serde_json::to_value(spec).map_err(kube::Error::SerdeError)?;
        let spec = PatchOperation::Add(AddOperation { path: pointer(&["spec"]), value });
        let patch = Patch::Json::<()>(JsonPatch(vec![unmoved, spec]));
        taken(self.leases.patch(LEASE, &PatchParams::default(), &patch).await)
    }
}

/// A request that is not answered in time has failed.
async fn answered<T>(request: impl Future<Output = Result<T, kube::Error>>) -> anyhow::Result<T> {
    Ok(timeout(ANSWER_WITHIN, request).await.context("the API server does not answer")??)
}

/// `None`: another replica was quicker.
fn taken(answer: Result<Lease, kube::Error>) -> Result<Option<Lease>, kube::Error> {
    match answer {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(None),
        Err(error) => Err(error),
    }
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

fn transitions(lease: &Lease) -> u64 {
    let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or_default();
    u64::try_from(transitions).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_has_ended_once_it_was_seen_unchanged_for_as_long_as_it_lasts() {
        let mut seen = Seen::default();
        let begun = Instant::now();
        assert!(!seen.has_ended("1".into(), begun), "whatever its times say");
        assert!(!seen.has_ended("1".into(), begun + DURATION / 2));
        assert!(!seen.has_ended("2".into(), begun + DURATION), "it was renewed");
        assert!(!seen.has_ended("2".into(), begun + DURATION + DURATION / 2));
        assert!(seen.has_ended("2".into(), begun + DURATION * 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_stops_in_time_when_it_is_not_renewed() {
        let (renewed, valid_until) = watch::channel(Instant::now() + DURATION - MARGIN);
        let leads = Leads(valid_until);
        assert!(leads.now());
        tokio::time::advance(DURATION - MARGIN * 2).await;
        renewed.send_replace(Instant::now() + DURATION - MARGIN);
        tokio::time::advance(DURATION - MARGIN * 2).await;
        assert!(leads.now());
        tokio::time::advance(MARGIN).await;
        assert!(!leads.now(), "before another may take over");
    }
}
