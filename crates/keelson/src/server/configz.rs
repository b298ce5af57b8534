//! What `/configz` says: how components of this process are configured, in upstream's form.

use serde_json::{Value, json};

use crate::{cluster, flags};

/// As far as there is something to choose.
pub fn of(flags: &flags::Server) -> Value {
    json!({
        "kubecontrollermanager.config.k8s.io": {
            "KubeCloudShared": {
                "ClusterName": "kubernetes",
                "ClusterCIDR": flags.cluster_cidr.to_string(),
                "AllocateNodeCIDRs": true,
            },
            "NodeIPAMController": {
                "ServiceCIDR": flags.service_cidr.to_string(),
                "NodeCIDRMaskSize": cluster::NODE_MASK,
            },
        },
        "kubescheduler.config.k8s.io": {
            "kind": "KubeSchedulerConfiguration",
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "podInitialBackoffSeconds": scheduler::queue::BACKOFF_MIN.as_secs(),
            "podMaxBackoffSeconds": scheduler::queue::BACKOFF_MAX.as_secs(),
            "profiles": [{"schedulerName": scheduler::SCHEDULER_NAME}],
        },
    })
}
