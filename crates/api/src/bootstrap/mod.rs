//! Group `bootstrap.cluster.x-k8s.io`: how a machine becomes a k0s controller or worker.

pub mod v1beta1;
pub mod v1beta2;

/// API group of the bootstrap kinds.
pub const GROUP: &str = "bootstrap.cluster.x-k8s.io";
