//! Bounds for the deletion of machines as durations, which is how control-plane templates have always had them.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::capi::MachineDeletion;
use crate::validation::values::duration;

/// Bounds for the deletion of machines as durations. The contract has them in `spec.deletion`, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletionTimeouts {
    /// How long to wait for pods to be evicted, such as 5m; 0s waits for ever. spec.deletion.nodeDrainTimeoutSeconds says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 64),
        regex(pattern = r"^(0|([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+)$")
    )]
    pub node_drain_timeout: Option<String>,
    /// How long to wait for volumes to be detached, such as 5m; 0s waits for ever. spec.deletion.nodeVolumeDetachTimeoutSeconds says
    /// the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 64),
        regex(pattern = r"^(0|([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+)$")
    )]
    pub node_volume_detach_timeout: Option<String>,
    /// How long to try to delete the node, such as 10s; 0s tries for ever. spec.deletion.nodeDeletionTimeoutSeconds says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 64),
        regex(pattern = r"^(0|([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+)$")
    )]
    pub node_deletion_timeout: Option<String>,
}

impl DeletionTimeouts {
    /// The same bounds as the contract has them. What is no duration counts as unset.
    #[must_use]
    pub fn in_seconds(&self) -> MachineDeletion {
        MachineDeletion {
            node_drain_timeout_seconds: seconds(self.node_drain_timeout.as_deref()),
            node_volume_detach_timeout_seconds: seconds(self.node_volume_detach_timeout.as_deref()),
            node_deletion_timeout_seconds: seconds(self.node_deletion_timeout.as_deref()),
        }
    }
}

/// Whole seconds, rounded up: 0 means without bound, so half a second must not become it.
fn seconds(duration: Option<&str>) -> Option<i32> {
    let duration = duration::parse(duration?).ok()?;
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    Some(i32::try_from(seconds).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn durations_become_seconds() {
        let table = [
            ("5m", Some(300)),
            ("1h30m", Some(5400)),
            ("0s", Some(0)),
            ("0", Some(0)),
            ("500ms", Some(1)),
            ("1.5s", Some(2)),
            ("999999h", Some(i32::MAX)),
            ("99999999999999999999999999999999h", None),
            ("-5s", None),
            ("soon", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(seconds(Some(text)), expected, "{text}");
        }
        assert_eq!(seconds(None), None);
    }
}
