//! What the machine's metadata service says of its end.
//!
//! An extra, never what correctness rests on: many clusters keep Pods from the service. Where it can be reached it
//! is the first to know, and outside of a cluster the only one.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use reqwest::Url;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use crate::{config::Metadata, duty::Duty};

mod aws;
mod azure;
mod gcp;
mod service;

use service::{Error, Service};

/// The clouds ask not to be asked more often; an answer comes from the machine's own host.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Where there is a service it answers in milliseconds.
const PROBE: Duration = Duration::from_secs(2);

/// What the service says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The machine may be taken away.
    AtRisk,
    /// It will be taken away.
    Doomed {
        /// When, ms since the Unix epoch.
        deadline_ms: u64,
    },
}

impl Notice {
    /// As the queue passes it on.
    pub(crate) fn at(self, now_ms: u64) -> queue::Notice {
        match self {
            Self::AtRisk => queue::Notice::AtRisk,
            Self::Doomed { deadline_ms } => {
                queue::Notice::Doomed { left: Duration::from_millis(deadline_ms.saturating_sub(now_ms)) }
            }
        }
    }
}

/// One cloud's service.
enum Cloud {
    Aws(aws::Aws),
    Gcp(gcp::Gcp),
    Azure(azure::Azure),
}

/// Follows the metadata service until it says that the machine will be taken away: then the worker leaves. What it
/// says is shown in `said`. Ends at once where there is no such service.
pub(crate) async fn follow(which: Metadata, base: Url, duty: Duty, said: watch::Sender<Option<Notice>>) {
    let Some(mut cloud) = find(which, base).await else { return };
    tracing::info!(metadata = %cloud, "the machine's metadata service is asked for notices");
    let (mut trouble, mut known) = (None, None);
    let mut tick = interval(ASK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let notice = match cloud.ask(wall_clock_ms()).await {
            Ok(notice) => notice,
            Err(error) => {
                let error = error.to_string();
                if trouble.as_ref() != Some(&error) {
                    tracing::warn!(error, "the metadata service is not understood, asking on");
                    trouble = Some(error);
                }
                continue;
            }
        };
        if notice == known {
            continue;
        }
        known = notice;
        said.send_replace(notice);
        match notice {
            None => tracing::info!("the metadata service says no more that the machine may be taken away"),
            Some(Notice::AtRisk) => {
                tracing::warn!("the metadata service says that the machine may be taken away");
            }
            Some(Notice::Doomed { deadline_ms }) => {
                let left = Duration::from_millis(deadline_ms.saturating_sub(wall_clock_ms()));
                duty.leave(Instant::now() + left, "the metadata service says that the machine is taken away");
                return;
            }
        }
    }
}

async fn find(which: Metadata, base: Url) -> Option<Cloud> {
    let service = match Service::new(base) {
        Ok(service) => service,
        Err(error) => {
            tracing::warn!(%error, "the metadata service can't be asked");
            return None;
        }
    };
    match which {
        Metadata::Off => None,
        Metadata::Aws => Some(Cloud::Aws(aws::Aws::new(service))),
        Metadata::Gcp => Some(Cloud::Gcp(gcp::Gcp::new(service))),
        Metadata::Azure => Some(Cloud::Azure(azure::Azure::new(service))),
        Metadata::Auto => timeout(PROBE, probe(service)).await.unwrap_or_default(),
    }
}

/// All at once: each answers only to its own kind of request.
async fn probe(service: Service) -> Option<Cloud> {
    let (mut aws, gcp, mut azure) =
        (aws::Aws::new(service.clone()), gcp::Gcp::new(service.clone()), azure::Azure::new(service));
    tokio::select! {
        Ok(()) = aws.is_there() => Some(Cloud::Aws(aws)),
        Ok(()) = gcp.is_there() => Some(Cloud::Gcp(gcp)),
        Ok(()) = azure.is_there() => Some(Cloud::Azure(azure)),
        else => None,
    }
}

impl Cloud {
    async fn ask(&mut self, now_ms: u64) -> Result<Option<Notice>, Error> {
        match self {
            Self::Aws(aws) => aws.ask(now_ms).await,
            Self::Gcp(gcp) => gcp.ask(now_ms).await,
            Self::Azure(azure) => azure.ask(now_ms).await,
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws(_) => "AWS",
            Self::Gcp(_) => "Google Cloud",
            Self::Azure(_) => "Azure",
        })
    }
}

/// Doomed, so long after now.
fn doomed_in(now_ms: u64, left: Duration) -> Notice {
    let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    Notice::Doomed { deadline_ms: now_ms.saturating_add(left_ms) }
}

fn doomed_at(deadline: jiff::Timestamp) -> Notice {
    Notice::Doomed { deadline_ms: u64::try_from(deadline.as_millisecond()).unwrap_or_default() }
}

/// Notices and deadlines are in the time of the wall clock.
pub(crate) fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
