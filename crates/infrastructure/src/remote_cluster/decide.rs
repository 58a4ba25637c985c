//! What is to be said of a RemoteCluster. Pure and total.

use k0smotron_api::{infrastructure::v1beta2::RemoteCluster, names::annotations};
use kube::ResourceExt;

/// What is to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is done, because of this.
    Paused(String),
    /// No Cluster names it.
    WaitingForOwner,
    /// There is nothing (more) to provision.
    Provisioned,
}

/// `None`: the object is left alone. `has_owner`: a Cluster has it, or names it and is about to.
pub fn decide(object: &RemoteCluster, has_owner: bool, paused: Option<String>) -> Option<Verdict> {
    // Somebody else provisions it, and writes its status (contract IC8).
    if object.annotations().contains_key(annotations::MANAGED_BY)
        || object.metadata.deletion_timestamp.is_some()
    {
        return None;
    }
    Some(match paused {
        Some(why) => Verdict::Paused(why),
        None if !has_owner => Verdict::WaitingForOwner,
        None => Verdict::Provisioned,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(yaml: &str) -> RemoteCluster {
        let text = format!(
            "apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: RemoteCluster\nspec: {{}}\nmetadata:\n  name: c\n{yaml}"
        );
        serde_yaml::from_str(&text).unwrap()
    }

    #[test]
    fn provisioned_once_it_has_an_owner() {
        assert_eq!(decide(&object(""), false, None), Some(Verdict::WaitingForOwner));
        assert_eq!(decide(&object(""), true, None), Some(Verdict::Provisioned));
        assert_eq!(
            decide(&object(""), true, Some("x".into())),
            Some(Verdict::Paused("x".into()))
        );
    }

    #[test]
    fn what_others_manage_and_what_goes_is_left_alone() {
        let managed = object("  annotations: {cluster.x-k8s.io/managed-by: crossplane}\n");
        let deleting = object("  deletionTimestamp: 2026-01-01T00:00:00Z\n");
        for object in [managed, deleting] {
            assert_eq!(decide(&object, true, None), None);
        }
    }
}
