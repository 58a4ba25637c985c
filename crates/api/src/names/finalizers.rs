//! Finalizers.

/// On K0sControlPlane: members leave in order, workers first.
pub const K0S_CONTROL_PLANE: &str = "k0s.controlplane.cluster.x-k8s.io";
/// On RemoteMachine: the host is cleaned up, and its pool slot is free, before the object goes.
pub const REMOTE_MACHINE: &str = "remotemachine.k0smotron.io/finalizer";
/// On PooledRemoteMachine: the entry stays while a RemoteMachine has the host.
pub const POOLED_REMOTE_MACHINE: &str = "pooledremotemachine.k0smotron.io/finalizer";
/// On Cluster (k0smotron.io): what was made for it is gone before the object goes.
pub const K0SMOTRON_CLUSTER: &str = "k0smotron.io/finalizer";
/// On JoinTokenRequest: the token is invalid before the object goes.
pub const JOIN_TOKEN_REQUEST: &str = "jointokenrequests.k0smotron.io/finalizer";
/// On K0smotronControlPlane: its Cluster (k0smotron.io) is gone before the object goes.
pub const K0SMOTRON_CONTROL_PLANE: &str = "k0smotron.controlplane.cluster.x-k8s.io";
