//! The status of a pool entry. Pure.

use k0smotron_api::{
    infrastructure::v1beta2::{MachineReference, PooledRemoteMachine, PooledRemoteMachineStatus},
    names::{
        annotations,
        conditions::{reasons, types},
    },
    unsupported,
};
use k0smotron_runtime::conditions::Conditions;
use kube::ResourceExt;

use crate::pool;

/// The status that mirrors the entry's annotations.
pub fn status(entry: &PooledRemoteMachine, before: &PooledRemoteMachineStatus) -> PooledRemoteMachineStatus {
    let generation = entry.metadata.generation;
    let mut conditions = Conditions::of(&before.conditions, generation);
    let by = pool::reserved_by(entry);
    let unsupported = unsupported::message(&entry.spec.unsupported());
    // There is no condition for what is supported.
    match &unsupported {
        Some(message) => conditions.set_true(types::UNSUPPORTED, reasons::UNSUPPORTED, message.as_str()),
        None => conditions.remove(types::UNSUPPORTED),
    }
    match (pool::quarantine(entry).map(str::to_owned), by) {
        (Some(why), _) => {
            let message = format!(
                "given to no machine: {why}. Once the host is clean, remove the annotation {} from this object",
                annotations::QUARANTINED
            );
            conditions.set_false(types::READY, "Quarantined", message.as_str());
            conditions.set_true(types::STALLED, "Quarantined", message);
        }
        (None, Some(by)) => {
            conditions.set_true(
                types::READY,
                reasons::RESERVED,
                format!("RemoteMachine {by} has the host"),
            );
            conditions.set_false(types::STALLED, reasons::PROGRESSING, "");
        }
        (None, None) if let Some(message) = unsupported => {
            let message = format!("given to no machine: {message}");
            conditions.set_false(types::READY, reasons::UNSUPPORTED, message.as_str());
            conditions.set_true(types::STALLED, reasons::UNSUPPORTED, message);
        }
        (None, None) => {
            conditions.set_true(types::READY, reasons::FREE, "");
            conditions.set_false(types::STALLED, reasons::PROGRESSING, "");
        }
    }
    PooledRemoteMachineStatus {
        reserved: by.is_some(),
        // Empty when free, as it always was.
        machine_ref: Some(by.map_or_else(MachineReference::default, |by| MachineReference {
            name: by.to_owned(),
            namespace: entry.namespace().unwrap_or_default(),
        })),
        observed_generation: generation,
        conditions: conditions.into_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k0smotron_api::infrastructure::v1beta2::Upload;

    fn entry(annotations: &str) -> PooledRemoteMachine {
        serde_yaml::from_str(&format!(
            "apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: PooledRemoteMachine\n\
             metadata: {{name: a, namespace: ns, generation: 2, annotations: {{{annotations}}}}}\n\
             spec: {{pool: p, machine: {{address: 10.0.0.1, sshKeyRef: {{name: key}}}}}}\n"
        ))
        .unwrap()
    }

    fn said(status: &PooledRemoteMachineStatus) -> String {
        let by = status.machine_ref.clone().unwrap_or_default();
        let conditions: Vec<_> = status
            .conditions
            .iter()
            .map(|c| format!("{}={}/{}", c.type_, c.status, c.reason))
            .collect();
        format!(
            "{} {}/{} {}",
            status.reserved,
            by.namespace,
            by.name,
            conditions.join(" ")
        )
    }

    #[test]
    fn status_mirrors_the_annotations() {
        let none = PooledRemoteMachineStatus::default();
        let free = status(&entry(""), &none);
        assert_eq!(said(&free), "false / Ready=True/Free Stalled=False/Progressing");
        assert_eq!(free.observed_generation, Some(2));
        let reserved = status(&entry("k0smotron.io/reserved-by: m"), &free);
        assert_eq!(
            said(&reserved),
            "true ns/m Ready=True/Reserved Stalled=False/Progressing"
        );
        let dirty = status(&entry("k0smotron.io/quarantined: 'not reached'"), &reserved);
        assert_eq!(
            said(&dirty),
            "false / Ready=False/Quarantined Stalled=True/Quarantined"
        );
        let mut odd = entry("");
        odd.spec.machine.uploads = vec![Upload::default()];
        let odd = status(&odd, &none);
        assert_eq!(
            said(&odd),
            "false / Unsupported=True/Unsupported Ready=False/Unsupported Stalled=True/Unsupported"
        );
        assert!(odd.conditions[0].message.contains("spec.machine.uploads"));
        assert!(dirty.conditions[0].message.contains("not reached"));
        assert_eq!(
            status(&entry("k0smotron.io/quarantined: 'not reached'"), &dirty),
            dirty
        );
    }
}
