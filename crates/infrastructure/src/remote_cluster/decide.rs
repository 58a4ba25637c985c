//! What is to be said of a RemoteCluster. Pure and total.

use k0smotron_api::{capi::Cluster, infrastructure::v1beta2::RemoteCluster, names::annotations};
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
    /// Nobody needs it any more.
    Obsolete,
}

/// Whether nobody has a use for the infrastructure of `cluster`: it is being deleted, its control plane is too (or is
/// gone), and none of its `machines` is left. Cluster API deletes it then, but in one pass and looks whether it is
/// gone in another, a second later; it is content to find it gone.
pub fn is_obsolete(cluster: &Cluster, machines: usize, control_plane_goes: bool) -> bool {
    cluster.metadata.deletion_timestamp.is_some() && machines == 0 && control_plane_goes
}

/// `None`: the object is left alone. `has_owner`: a Cluster has it, or names it and is about to. `obsolete`: see
/// [`is_obsolete`].
pub fn decide(
    object: &RemoteCluster,
    has_owner: bool,
    obsolete: bool,
    paused: Option<String>,
) -> Option<Verdict> {
    // Somebody else provisions it, and writes its status (contract IC8).
    if object.annotations().contains_key(annotations::MANAGED_BY)
        || object.metadata.deletion_timestamp.is_some()
    {
        return None;
    }
    Some(match paused {
        Some(why) => Verdict::Paused(why),
        None if obsolete => Verdict::Obsolete,
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
        assert_eq!(
            decide(&object(""), false, false, None),
            Some(Verdict::WaitingForOwner)
        );
        assert_eq!(decide(&object(""), true, false, None), Some(Verdict::Provisioned));
        assert_eq!(
            decide(&object(""), true, false, Some("x".into())),
            Some(Verdict::Paused("x".into()))
        );
    }

    #[test]
    fn it_goes_after_the_machines_and_with_the_control_plane() {
        let cluster = |metadata: &str| -> Cluster {
            serde_yaml::from_str(&format!(
                "apiVersion: cluster.x-k8s.io/v1beta2\nkind: Cluster\nmetadata: {{name: c, {metadata}}}\nspec: {{}}\n"
            ))
            .unwrap()
        };
        let deleted = cluster("deletionTimestamp: '2026-01-01T00:00:00Z'");
        assert!(is_obsolete(&deleted, 0, true));
        assert!(!is_obsolete(&deleted, 1, true));
        // Cluster API has not got to the control plane yet; a hook may hold it back.
        assert!(!is_obsolete(&deleted, 0, false));
        assert!(!is_obsolete(&cluster(""), 0, true));
        assert_eq!(decide(&object(""), true, true, None), Some(Verdict::Obsolete));
        assert_eq!(
            decide(&object(""), true, true, Some("x".into())),
            Some(Verdict::Paused("x".into()))
        );
    }

    #[test]
    fn what_others_manage_and_what_goes_is_left_alone() {
        let managed = object("  annotations: {cluster.x-k8s.io/managed-by: crossplane}\n");
        let deleting = object("  deletionTimestamp: 2026-01-01T00:00:00Z\n");
        for object in [managed, deleting] {
            assert_eq!(decide(&object, true, true, None), None);
        }
    }
}
