//! What is written on hosted control planes (Cluster of k0smotron.io) and on what belongs to them: annotations, types and
//! reasons of conditions. Types and reasons are those that users of earlier releases wait for.

/// Annotations.
pub mod annotations {
    /// On Clusters: pods that an earlier release made are replaced by pods of this one, one at a time; any value.
    pub const CONVERGE: &str = "k0smotron.io/converge";
    /// On StatefulSets and their pods: digest of what they were made from. Pods are made anew when it changes, and never because a
    /// release makes them differently.
    pub const INPUTS: &str = "k0smotron.io/inputs";
    /// On StatefulSets: how their pods are made, as a number that counts on when that changes. Those of releases before 3.0 have none.
    pub const SHAPE: &str = "k0smotron.io/shape";
}

/// Types of conditions.
pub mod types {
    /// There are fewer or more pods than asked for.
    pub const SCALING: &str = "ControlPlaneScaling";
    /// All pods match the spec.
    pub const UP_TO_DATE: &str = "ControlPlaneUpToDate";
    /// The API server has an address.
    pub const EXPOSED: &str = "ControlPlaneExposed";
    /// The kubeconfig's Secret exists.
    pub const KUBECONFIG: &str = "KubeconfigSecretAvailable";
    /// The API server answers, with its datastore behind it.
    pub const FUNCTIONAL: &str = "ControlPlaneFunctional";
    /// The pods are made as this release makes them; False names what is as an earlier release made it.
    pub const CONVERGED: &str = "Converged";
}

/// Reasons of conditions.
pub mod reasons {
    /// There is nothing to be looked at yet.
    pub const NOT_FOUND: &str = "NotFound";
    pub const SCALING_UP: &str = "ScalingUp";
    pub const SCALING_DOWN: &str = "ScalingDown";
    pub const WITH_DESIRED_REPLICAS: &str = "ControlPlaneWithDesiredReplicas";
    pub const ALL_UP_TO_DATE: &str = "AllReplicasUpToDate";
    pub const NOT_ALL_UP_TO_DATE: &str = "NotAllReplicasUpToDate";
    /// Also while the address is awaited.
    pub const EXTERNAL_ADDRESS: &str = "ClusterWithExternalAddress";
    /// The API server is reached from within the hosting cluster only, as asked for.
    pub const WITHIN_CLUSTER: &str = "WithinHostingCluster";
    pub const CREATED: &str = "Created";
    /// It waits for pods, or for what comes before them.
    pub const NO_READY_REPLICAS: &str = "NoReadyReplicas";
    pub const NAMESPACE_FOUND: &str = "KubeSystemNamespaceFound";
    /// Sums up: nothing is wrong.
    pub const INFO_REPORTED: &str = "InfoReported";
    /// Sums up: something is wrong.
    pub const ISSUES_REPORTED: &str = "IssuesReported";
    /// A majority of the members of etcd is away.
    pub const QUORUM_LOST: &str = "QuorumLost";
    /// etcd has all its members, and they are well.
    pub const MEMBERS_HEALTHY: &str = "MembersHealthy";
    /// Members of etcd are being added, taken out or replaced.
    pub const MEMBERS_CHANGING: &str = "MembersChanging";
    /// Pods are as this release makes them.
    pub const CONVERGED: &str = "Converged";
    /// Pods are as an earlier release made them.
    pub const MADE_EARLIER: &str = "MadeByEarlierRelease";
    /// Keys are missing or cannot be used, and nothing goes on until they are mended.
    pub const CERTIFICATES: &str = "CertificatesNotUsable";
    /// The configuration or the version cannot be used.
    pub const INVALID_CONFIGURATION: &str = "InvalidConfiguration";
}
