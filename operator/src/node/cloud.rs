//! How long a cloud lets a spot machine run after it gave notice.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;

/// From a cloud's notice until the machine stops, as far as Pods can use it; 30 s for a cloud we do not know. A node's `spec.providerID` says whose it is.
///
/// - AWS: two minutes. <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html>
/// - Google: 30 s, of which GKE gives Pods the first 15.
///   <https://docs.cloud.google.com/kubernetes-engine/docs/concepts/spot-vms>
/// - Azure: 30 s at least. <https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events>
pub(super) fn notice(node: &Node) -> Duration {
    let id = node.spec.as_ref().and_then(|spec| spec.provider_id.as_deref()).unwrap_or_default();
    let seconds = match id.split_once("://").map(|(cloud, _)| cloud) {
        Some("aws") => 120,
        Some("gce") => 15,
        _ => 30,
    };
    Duration::from_secs(seconds)
}
