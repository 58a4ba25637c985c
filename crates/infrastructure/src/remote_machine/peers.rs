//! Two RemoteMachines that name one host. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use k0smotron_api::{infrastructure::v1beta2::RemoteMachine, names::annotations};
use kube::ResourceExt;

/// `namespace/name` of the RemoteMachine that has this one's address and came first; `None` when this one did.
pub fn first_with_address(machine: &RemoteMachine, others: &[Arc<RemoteMachine>]) -> Option<String> {
    others
        .iter()
        .filter(|other| same_host(machine, other))
        .filter(|other| rank(other) < rank(machine))
        .min_by_key(|other| rank(other))
        .map(|other| format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any()))
}

/// Whether both name one host.
pub fn same_host(one: &RemoteMachine, other: &RemoteMachine) -> bool {
    let address = one.spec.address.as_deref().unwrap_or_default();
    !address.is_empty() && other.spec.address.as_deref() == Some(address) && one.spec.port == other.spec.port
}

/// Whoever was on the host first; then whoever was made first; then by name, so that both see the same order.
fn rank(machine: &RemoteMachine) -> (bool, Option<Timestamp>, Option<String>, String) {
    let was_there = machine
        .spec
        .provider_id
        .as_deref()
        .is_some_and(|id| !id.is_empty())
        || machine.annotations().contains_key(annotations::INSTALL_ID);
    let made = machine.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (!was_there, made, machine.namespace(), machine.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str, address: &str, made: u32, annotations: &str) -> Arc<RemoteMachine> {
        Arc::new(
            serde_yaml::from_str(&format!(
                "apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: RemoteMachine\n\
                 metadata:\n  name: {name}\n  namespace: ns\n  creationTimestamp: 2026-01-01T00:00:{made:02}Z\n  \
                 annotations: {{{annotations}}}\nspec: {{address: {address}, sshKeyRef: {{name: key}}}}\n"
            ))
            .unwrap(),
        )
    }

    #[test]
    fn the_second_one_learns_of_the_first() {
        let (a, b) = (machine("a", "10.0.0.1", 2, ""), machine("b", "10.0.0.1", 1, ""));
        let elsewhere = machine("c", "10.0.0.2", 0, "");
        assert_eq!(
            first_with_address(&a, &[b.clone(), elsewhere.clone()]),
            Some("ns/b".into())
        );
        assert_eq!(first_with_address(&b, &[a.clone(), elsewhere]), None);
        // Whoever is on the host stays, whenever it was made.
        let there = machine("a", "10.0.0.1", 2, "k0smotron.io/install-id: x");
        assert_eq!(
            first_with_address(&b, std::slice::from_ref(&there)),
            Some("ns/a".into())
        );
        assert_eq!(first_with_address(&there, &[b]), None);
        // At the same time: the name decides.
        assert_eq!(first_with_address(&a, &[machine("b", "10.0.0.1", 2, "")]), None);
    }
}
