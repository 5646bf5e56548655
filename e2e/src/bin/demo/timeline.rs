//! Prints each change of the cluster in a line.

use std::{
    collections::BTreeMap,
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use anyhow::Result;
use crds::{
    ImageJob,
    conditions::{ConditionType, find_condition},
};
use e2e::Studio;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, ResourceExt as _, api::ListParams};
use queue::{Queue, Stats};

use crate::front::short;

/// The time between two checks.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Prints the changes since the last check.
pub(crate) struct Timeline<'a> {
    studio: &'a Studio<'a>,
    queue: Queue,
    begun: Instant,
    /// The last line of each object, by its kind and name.
    shown: BTreeMap<(Kind, String), String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Node,
    Worker,
    Queue,
    Job,
}

impl<'a> Timeline<'a> {
    pub(crate) fn new(studio: &'a Studio<'a>, queue: Queue) -> Self {
        Self { studio, queue, begun: Instant::now(), shown: BTreeMap::new() }
    }

    /// Prints a line about something that the cluster does not know.
    pub(crate) fn say(&self, text: &str) {
        let at = self.begun.elapsed().as_secs_f64();
        if std::io::stdout().is_terminal() {
            println!("{at:7.1}s  \x1b[1m{text}\x1b[0m");
        } else {
            println!("{at:7.1}s  {text}");
        }
    }

    /// Checks once and prints the changes; returns the queue's statistics.
    pub(crate) async fn look(&mut self) -> Result<Stats> {
        let mut now: BTreeMap<(Kind, String), String> = BTreeMap::new();
        let nodes: Api<Node> = Api::all(self.studio.world.client.clone());
        for node in nodes.list(&ListParams::default()).await?.items {
            if node.name_any() != "system" {
                now.insert((Kind::Node, node.name_any()), node_state(&node));
            }
        }
        for pod in self.studio.workers().await? {
            now.insert((Kind::Worker, pod.name_any()), pod_state(&pod));
        }
        for job in self.studio.api::<ImageJob>().list(&ListParams::default()).await?.items {
            now.insert((Kind::Job, job.name_any()), job_state(&job));
        }
        let stats = self.queue.stats().await?;
        let waiting: u64 = stats.backlog.iter().map(|bucket| bucket.tasks).sum();
        let running = format!("{waiting} waiting, {} running", stats.leases.len());
        now.insert((Kind::Queue, "images".to_owned()), running);
        self.show(now);
        Ok(stats)
    }

    /// Whether the last check found neither workers nor machines.
    pub(crate) fn is_empty(&self) -> bool {
        !self.shown.keys().any(|(kind, _)| matches!(kind, Kind::Node | Kind::Worker))
    }

    fn show(&mut self, now: BTreeMap<(Kind, String), String>) {
        let at = self.begun.elapsed().as_secs_f64();
        for ((kind, name), state) in &now {
            if self.shown.get(&(*kind, name.clone())) != Some(state) {
                println!("{at:7.1}s  {:7} {:26} {state}", kind.word(), short(name));
            }
        }
        for (kind, name) in self.shown.keys().filter(|key| !now.contains_key(key)) {
            println!("{at:7.1}s  {:7} {:26} gone", kind.word(), short(name));
        }
        self.shown = now;
    }
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Worker => "worker",
            Self::Queue => "queue",
            Self::Job => "job",
        }
    }
}

fn node_state(node: &Node) -> String {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref());
    let ready = conditions.unwrap_or_default().iter().find(|condition| condition.type_ == "Ready");
    let state = match ready.map(|ready| ready.status.as_str()) {
        Some("True") => "ready",
        Some("Unknown") => "silent",
        _ => "joining",
    };
    let label = |name: &str| node.labels().get(name).cloned().unwrap_or_default();
    format!("{state} ({}, {})", label("karpenter.sh/capacity-type"), label("topology.kubernetes.io/zone"))
}

fn pod_state(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let ready = status.and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    });
    let phase = match (pod.metadata.deletion_timestamp.is_some(), ready) {
        (true, _) => "leaving",
        (false, true) => "ready",
        (false, false) => "starting",
    };
    match node {
        Some(node) => format!("{phase} on {node}"),
        None => "waits for a machine".to_owned(),
    }
}

fn job_state(job: &ImageJob) -> String {
    let Some(status) = &job.status else { return "applied".to_owned() };
    let ready = find_condition(&status.conditions, ConditionType::Ready);
    let (reason, message) = ready.map_or(("", ""), |ready| (ready.reason.as_str(), ready.message.as_str()));
    format!("{} {reason}: {message}", status.progress.as_deref().unwrap_or_default())
}
