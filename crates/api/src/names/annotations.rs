//! Annotations.
//!
//! What cannot be found out again by looking at the world is kept here and not in status: `clusterctl move` and restores from backups
//! drop status and change UIDs, and keep metadata.

/// Pauses an object (contract G11); any value.
pub const PAUSED: &str = "cluster.x-k8s.io/paused";
/// Infrastructure that somebody else looks after (contract IC8); any value.
pub const MANAGED_BY: &str = "cluster.x-k8s.io/managed-by";
/// On control-plane Machines: JSON of the K0sConfigSpec that the machine was set up with, from which drift is seen.
pub const K0S_CONFIG: &str = "k0s.controlplane.cluster.x-k8s.io/k0s-config";
/// On control-plane Machines that do not say what they were set up with: JSON object of the parts of the k0s configuration that
/// controllers read from their own file, by path, as the spec had them when the Machine was first seen.
pub const ADOPTED_CONFIGURATION: &str = "k0smotron.io/adopted-configuration";
/// On control-plane Machines: holds their deletion back until the member has left; value empty.
pub const PRE_TERMINATE_HOOK: &str = "pre-terminate.delete.hook.machine.cluster.x-k8s.io/kcp-cleanup";
/// Beginning of the names of annotations by which somebody holds a Machine's deletion back: before its node is drained, and
/// before its infrastructure goes (contract, deletion phases).
pub const PRE_DRAIN_HOOKS: &str = "pre-drain.delete.hook.machine.cluster.x-k8s.io";
pub const PRE_TERMINATE_HOOKS: &str = "pre-terminate.delete.hook.machine.cluster.x-k8s.io";
/// On Machines: of those that could go, this one goes first (contract 2.8); any value.
pub const DELETE_MACHINE: &str = "cluster.x-k8s.io/delete-machine";
/// On control planes: a Machine is being replaced because it is unhealthy. Value: JSON object of `machine` (its name), `timestamp`
/// (RFC 3339) and `retryCount` (contract 2.8); other releases write `true`. The next Machine takes it as [`REMEDIATION_FOR`].
pub const REMEDIATION_IN_PROGRESS: &str = "controlplane.cluster.x-k8s.io/remediation-in-progress";
/// On control-plane Machines: which unhealthy Machine they were made for; value as in [`REMEDIATION_IN_PROGRESS`].
pub const REMEDIATION_FOR: &str = "controlplane.cluster.x-k8s.io/remediation-for";
/// On Clusters: identity of the workload cluster, `kube-system:<uid of its namespace kube-system>`. Read by other tools.
pub const CLUSTER_ID: &str = "k0sproject.io/cluster-id";

/// Value of [`CLUSTER_ID`] for a workload cluster whose namespace kube-system has this UID.
#[must_use]
pub fn cluster_id(kube_system: &str) -> String {
    format!("kube-system:{kube_system}")
}

/// On infrastructure machines: name of the template they were made from.
pub const CLONED_FROM_NAME: &str = "cluster.x-k8s.io/cloned-from-name";
/// On infrastructure machines: `<Kind>.<group>` of the template they were made from.
pub const CLONED_FROM_GROUP_KIND: &str = "cluster.x-k8s.io/cloned-from-groupkind";

/// On control planes: evidence that the cluster exists, so that its first controller is never set up a second time. Value: identity of
/// the workload cluster, as in [`CLUSTER_ID`].
pub const CLUSTER_INITIALIZED: &str = "k0smotron.io/cluster-initialized";
/// On control planes: last sequence number from which the name of a Machine was made, as a decimal number. Written before the Machine.
pub const MACHINE_SEQUENCE: &str = "k0smotron.io/machine-sequence";
/// On control planes: name of the Machine whose creation was begun and is not confirmed yet. Written before the Machine.
pub const MACHINE_BEGUN: &str = "k0smotron.io/machine-begun";
/// On ClusterConfig `kube-system/k0s` of a workload cluster: JSON of what was last brought in there, so that what the spec does not
/// say any more is removed.
pub const CONFIGURATION: &str = "k0smotron.io/configuration";
/// On K0sControllerConfigs: made by their control plane while there was no cluster, to found it; value `true`.
pub const FOUNDS_CLUSTER: &str = "k0smotron.io/founds-cluster";
/// On Clusters: `<name>/<uid>` of the Machine that founds the cluster. Written before that Machine's bootstrap data, by a write that
/// only one of two can win.
pub const FOUNDING_MACHINE: &str = "k0smotron.io/founding-machine";
/// On the object that stands for a host (the pool entry if pooled, else the RemoteMachine): fingerprint of its SSH host key,
/// `SHA256:<base64>`, kept on first use. Remove it to accept a new key.
pub const SSH_HOST_KEY: &str = "k0smotron.io/ssh-host-key";
/// Beside [`SSH_HOST_KEY`]: the same of the jump hosts, one a line: `<address>:<port> <algorithm> SHA256:<base64>`.
pub const SSH_JUMP_HOST_KEYS: &str = "k0smotron.io/ssh-jump-host-keys";
/// On PooledRemoteMachines: name of the RemoteMachine (in the same namespace) that has the host; status only mirrors it.
pub const RESERVED_BY: &str = "k0smotron.io/reserved-by";
/// On RemoteMachines: name of the PooledRemoteMachine whose host they use.
pub const POOLED_MACHINE: &str = "k0smotron.io/pooled-machine";
/// On RemoteMachines: random id of the installation on the host, under which the host keeps its lock and its done-markers.
pub const INSTALL_ID: &str = "k0smotron.io/install-id";
/// On PooledRemoteMachines: the host could not be cleaned, and is given to nobody; value: why. Remove it once the host is clean.
pub const QUARANTINED: &str = "k0smotron.io/quarantined";

/// On hosted control planes: JSON object of the Service's labels, which v1beta2 of the original has no field for.
pub const DROPPED_SERVICE_LABELS: &str = "k0smotron.io/conversion-dropped-service.labels";
/// As [`DROPPED_SERVICE_LABELS`]: JSON object of the Service's annotations.
pub const DROPPED_SERVICE_ANNOTATIONS: &str = "k0smotron.io/conversion-dropped-service.annotations";
/// As [`DROPPED_SERVICE_LABELS`]: JSON string of the Service's externalTrafficPolicy.
pub const DROPPED_SERVICE_TRAFFIC_POLICY: &str =
    "k0smotron.io/conversion-dropped-service.externalTrafficPolicy";
/// As [`DROPPED_SERVICE_LABELS`]: JSON string of the Service's loadBalancerClass.
pub const DROPPED_SERVICE_BALANCER_CLASS: &str = "k0smotron.io/conversion-dropped-service.loadBalancerClass";
/// On JoinTokenRequests that were written as v1beta1: namespace of the Cluster.
pub const CLUSTER_REF_NAMESPACE: &str = "k0smotron.io/cluster-ref-namespace";
/// On Clusters (k0smotron.io): namespaces whose JoinTokenRequests get tokens too, separated by commas; `*` for all. Without it only
/// those of the Cluster's own namespace do.
pub const JOIN_TOKEN_NAMESPACES: &str = "k0smotron.io/join-token-namespaces";
/// Stops `clusterctl move` before it creates or deletes anything, as long as an object that would move has it (CT26); any value.
pub const BLOCK_MOVE: &str = "clusterctl.cluster.x-k8s.io/block-move";
/// On the bootstrap Secret of a machine pool: when the join token in it expires, RFC 3339.
pub const JOIN_TOKEN_EXPIRES: &str = "k0smotron.io/join-token-expires";
