//! EKS' node monitoring agent: a GPU that fails makes node repair replace the node, after ten minutes.
//! Source: <https://docs.aws.amazon.com/eks/latest/userguide/node-health.html>.

use super::{Sign, Signs, condition};

pub(super) fn read(signs: &Signs<'_>) -> Option<Sign> {
    condition(signs.node?, "AcceleratedHardwareReady", "False")?;
    Sign::at_risk("EKS: the GPU is not healthy")
}

#[cfg(test)]
mod tests {
    use policy::Health;

    use super::*;
    use crate::node::fixtures::{conditioned, health, node};

    #[test]
    fn signs_and_what_they_mean() {
        let table = [
            ("True", "NvidiaAcceleratedHardwareIsReady", None),
            ("False", "NvidiaXID79Error", Some(Health::AtRisk)),
            ("Unknown", "NodeStatusUnknown", None),
        ];
        for (status, reason, want) in table {
            let change = conditioned("AcceleratedHardwareReady", status, reason, "");
            let node = node("aws:///us-east-1a/i-0abc123def4567890", &change);
            assert_eq!(health(read, Some(&node)), want, "{status}");
        }
    }
}
