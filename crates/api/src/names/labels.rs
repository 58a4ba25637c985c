//! Labels.

/// Cluster that an object belongs to; value: its name. Core caches only Secrets that carry it (contract C13).
pub const CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";
/// On Machines of a control plane and what belongs to them; only its presence counts, the value is [`CONTROL_PLANE_VALUE`].
pub const CONTROL_PLANE: &str = "cluster.x-k8s.io/control-plane";
/// Value that k0smotron gives to [`CONTROL_PLANE`].
pub const CONTROL_PLANE_VALUE: &str = "true";
/// Control plane that a Machine belongs to; value: its name.
pub const CONTROL_PLANE_NAME: &str = "cluster.x-k8s.io/control-plane-name";
/// On control-plane Machines: `"true"` when the controller is also a worker, so that a Node is to be expected.
pub const CONTROL_PLANE_WORKER_ENABLED: &str = "k0smotron.io/control-plane-worker-enabled";
/// On Nodes: name of the Machine.
pub const MACHINE_NAME: &str = "k0smotron.io/machine-name";
/// Role of a generated object; see [`COMPONENT_BOOTSTRAP`].
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Value of [`COMPONENT`] on bootstrap Secrets.
pub const COMPONENT_BOOTSTRAP: &str = "bootstrap";
/// Value of [`COMPONENT`] on kubeconfig Secrets of hosted control planes.
pub const COMPONENT_KUBECONFIG: &str = "kubeconfig";
/// Value of [`COMPONENT`] on Secrets with join tokens.
pub const COMPONENT_JOIN_TOKEN: &str = "jointoken";
/// On Secrets with join tokens: name of the Cluster (k0smotron.io).
pub const HOSTED_CLUSTER: &str = "k0smotron.io/cluster";
/// On Secrets with join tokens: what the token is for, worker or controller.
pub const TOKEN_ROLE: &str = "k0smotron.io/role";
/// On Secrets with join tokens, and on the tokens themselves in the cluster that is joined: name of the JoinTokenRequest.
pub const TOKEN_REQUEST: &str = "k0smotron.io/token-request";
/// On the tokens themselves, as [`TOKEN_REQUEST`]: namespace of the JoinTokenRequest.
pub const TOKEN_REQUEST_NAMESPACE: &str = "k0smotron.io/token-request-namespace";
/// On JoinTokenRequests for a Cluster (k0smotron.io) of another namespace, and on their Secrets: its UID. For people and tools:
/// nothing is found by it, because restores change UIDs.
pub const HOSTED_CLUSTER_UID: &str = "k0smotron.io/cluster-uid";
/// Objects that a manager started with `--watch-filter` looks at (contract G12).
pub const WATCH_FILTER: &str = "cluster.x-k8s.io/watch-filter";
/// Makes `clusterctl move` take an object along that no Cluster owns (CT24).
pub const MOVE: &str = "clusterctl.cluster.x-k8s.io/move";
