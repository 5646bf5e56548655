//! OKE: its cluster-autoscaler taints nodes by a key of its own. (Of a preemption OKE is told first, and cordons
//! and drains the node, which Kubernetes' own signs tell.)
//! Sources: `cluster-autoscaler/cloudprovider/oci` in <https://github.com/kubernetes/autoscaler>,
//! <https://docs.oracle.com/iaas/Content/ContEng/Tasks/contengusingpreemptiblecapacity.htm>.

use super::{Sign, Signs, added, grace, taint};

const TERMINATION: &str = "ignore-taint.cluster-autoscaler.kubernetes.io/oke-impending-node-termination";

pub(super) fn read(signs: &Signs<'_>) -> Option<Sign> {
    let taint = taint(signs.node?, TERMINATION)?;
    Sign::doomed(added(taint, signs.now), grace(signs.pod), "OKE: the node is about to be stopped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::fixtures::{doomed, health, node, tainted};

    #[test]
    fn signs_and_what_they_mean() {
        let table =
            [(TERMINATION, doomed("2026-01-01T00:01:25Z")), ("oci.oraclecloud.com/oke-is-preemptible", None)];
        for (key, want) in table {
            let node = node("ocid1.instance.oc1.iad.abc", &tainted(key, "true", "NoSchedule"));
            assert_eq!(health(read, Some(&node)), want, "{key}");
        }
    }
}
