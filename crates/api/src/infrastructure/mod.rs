//! Group `infrastructure.cluster.x-k8s.io`: hosts that exist already and are reached over SSH.

pub mod v1beta1;
pub mod v1beta2;

/// API group of the infrastructure kinds.
pub const GROUP: &str = "infrastructure.cluster.x-k8s.io";
