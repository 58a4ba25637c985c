//! Group `controlplane.cluster.x-k8s.io`: control planes made of k0s controllers.

mod belonging;
pub mod refusals;
pub mod v1beta1;
pub mod v1beta2;

/// API group of the control-plane kinds.
pub const GROUP: &str = "controlplane.cluster.x-k8s.io";
