//! Azure's scheduled events.
//! Sources: <https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events>,
//! <https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service>.

use std::time::Duration;

use super::Notice;
use jiff::fmt::rfc2822;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::{
    doomed_at, doomed_in,
    service::{Answer, Error, Service},
};

const METADATA: (&str, &str) = ("Metadata", "true");
const NAME: &str = "/metadata/instance/compute/name?api-version=2021-02-01&format=text";
const EVENTS: &str = "/metadata/scheduledevents?api-version=2020-07-01";
/// The least that is promised, for the preemption of a spot machine.
const NOTICE: Duration = Duration::from_secs(30);

pub(super) struct Azure {
    service: Service,
    /// What this machine is called in events: each tells of all machines of its scale set.
    name: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "Events")]
    events: Vec<Event>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    event_type: Kind,
    resources: Vec<String>,
    /// RFC 1123; empty once it has begun.
    #[serde(default)]
    not_before: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
enum Kind {
    Preempt,
    Terminate,
    Reboot,
    Redeploy,
    /// A pause of some seconds (`Freeze`), or something newer than we are.
    #[serde(other)]
    Harmless,
}

impl Azure {
    pub(super) fn new(service: Service) -> Self {
        Self { service, name: None }
    }

    pub(super) async fn is_there(&mut self) -> Result<(), Error> {
        self.learn_name().await.map(drop)
    }

    pub(super) async fn ask(&mut self, now_ms: u64) -> Result<Option<Notice>, Error> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => self.learn_name().await?,
        };
        let Some(answer) = self.get(EVENTS).await? else { return Ok(None) };
        match serde_json::from_str(&answer.body) {
            Ok(document) => Ok(notice(&document, &name, now_ms)),
            Err(_) => Err(answer.unreadable()),
        }
    }

    async fn learn_name(&mut self) -> Result<String, Error> {
        let answer = self.service.ask(Method::GET, NAME, METADATA).await?;
        let name = answer.body.trim();
        if answer.status != StatusCode::OK || name.is_empty() {
            return Err(answer.unreadable());
        }
        self.name = Some(name.to_owned());
        Ok(name.to_owned())
    }

    async fn get(&self, path: &str) -> Result<Option<Answer>, Error> {
        self.service.ask(Method::GET, path, METADATA).await?.found()
    }
}

/// Of several events the earliest.
fn notice(document: &Document, name: &str, now_ms: u64) -> Option<Notice> {
    let ours = document.events.iter().filter(|event| {
        event.event_type != Kind::Harmless
            && event.resources.iter().any(|resource| resource.eq_ignore_ascii_case(name))
    });
    let at = |event: &Event| match event.not_before.trim() {
        "" => doomed_in(now_ms, Duration::ZERO),
        time => rfc2822::DateTimeParser::new()
            .parse_timestamp(time)
            .map_or_else(|_| doomed_in(now_ms, NOTICE), doomed_at),
    };
    ours.map(at).min_by_key(|notice| match notice {
        Notice::Doomed { deadline_ms } => *deadline_ms,
        Notice::AtRisk => u64::MAX,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(events: &str) -> Option<Notice> {
        let document = format!(r#"{{"DocumentIncarnation": 2, "Events": [{events}]}}"#);
        notice(&serde_json::from_str(&document).expect("a document"), "aks-gpu-1-vmss_3", 1000)
    }

    fn event(kind: &str, machine: &str, not_before: &str) -> String {
        format!(
            r#"{{"EventId": "602d9444-d2cd-49c7-8624-8643e7171297", "EventType": "{kind}",
                "ResourceType": "VirtualMachine", "Resources": ["aks-gpu-1-vmss_9", "{machine}"],
                "EventStatus": "Scheduled", "NotBefore": "{not_before}", "Description": "",
                "EventSource": "Platform", "DurationInSeconds": -1}}"#
        )
    }

    #[test]
    fn what_events_say() {
        let time = "Thu, 01 Jan 2026 00:02:00 GMT";
        let at = |deadline_ms| Some(Notice::Doomed { deadline_ms });
        let ours = |kind, not_before| event(kind, "aks-gpu-1-vmss_3", not_before);
        let table = [
            (String::new(), None),
            (ours("Preempt", time), at(1_767_225_720_000)),
            (ours("Terminate", time), at(1_767_225_720_000)),
            (ours("Redeploy", time), at(1_767_225_720_000)),
            (ours("Reboot", time), at(1_767_225_720_000)),
            (ours("Freeze", time), None),
            (ours("Levitate", time), None),
            (event("Preempt", "AKS-GPU-1-VMSS_3", time), at(1_767_225_720_000)),
            (event("Preempt", "aks-gpu-1-vmss_4", time), None),
            (ours("Preempt", ""), at(1000)),
            (ours("Preempt", "soon"), at(31_000)),
            ([ours("Redeploy", time), ours("Preempt", "soon")].join(","), at(31_000)),
        ];
        for (events, want) in table {
            assert_eq!(said(&events), want, "{events}");
        }
    }
}
