//! Compute Engine.
//! Sources: <https://docs.cloud.google.com/compute/docs/instances/create-use-spot#detect-preemption>,
//! <https://docs.cloud.google.com/compute/docs/metadata/getting-live-migration-notice>,
//! <https://docs.cloud.google.com/kubernetes-engine/docs/concepts/spot-vms>.

use std::time::Duration;

use super::Notice;
use reqwest::{Method, StatusCode};

use super::{
    doomed_in,
    service::{Answer, Error, Service},
};

const FLAVOR: (&str, &str) = ("Metadata-Flavor", "Google");
const PREEMPTED: &str = "/computeMetadata/v1/instance/preempted";
const MAINTENANCE: &str = "/computeMetadata/v1/instance/maintenance-event";
/// Of the 30 s that a machine has, GKE gives Pods the first 15.
const NOTICE: Duration = Duration::from_secs(15);

pub(super) struct Gcp {
    service: Service,
}

impl Gcp {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }

    pub(super) async fn is_there(&self) -> Result<(), Error> {
        let answer = self.service.ask(Method::GET, PREEMPTED, FLAVOR).await?;
        let ours = answer.headers.get(FLAVOR.0).is_some_and(|flavor| flavor == FLAVOR.1);
        if answer.status == StatusCode::OK && ours { Ok(()) } else { Err(answer.unreadable()) }
    }

    pub(super) async fn ask(&self, now_ms: u64) -> Result<Option<Notice>, Error> {
        let preempted = self.get(PREEMPTED).await?;
        if let Some(answer) = preempted {
            match answer.body.trim() {
                "TRUE" => return Ok(Some(doomed_in(now_ms, NOTICE))),
                "FALSE" => {}
                _ => return Err(answer.unreadable()),
            }
        }
        // Machines with a GPU are told an hour ahead, and without the time.
        let maintenance = self.get(MAINTENANCE).await?;
        let ends = maintenance.is_some_and(|event| event.body.trim() == "TERMINATE_ON_HOST_MAINTENANCE");
        Ok(ends.then_some(Notice::AtRisk))
    }

    async fn get(&self, path: &str) -> Result<Option<Answer>, Error> {
        self.service.ask(Method::GET, path, FLAVOR).await?.found()
    }
}
