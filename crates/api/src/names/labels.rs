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
/// Objects that a manager started with `--watch-filter` looks at (contract G12).
pub const WATCH_FILTER: &str = "cluster.x-k8s.io/watch-filter";
/// Makes `clusterctl move` take an object along that no Cluster owns (CT24).
pub const MOVE: &str = "clusterctl.cluster.x-k8s.io/move";
