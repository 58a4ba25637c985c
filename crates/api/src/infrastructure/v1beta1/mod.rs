//! Version `v1beta1` of the infrastructure kinds: what is served to clients that have not moved on.
//!
//! For: the schemas. Not for: controllers, which see `v1beta2` only; objects are converted as JSON.

mod cluster;
mod machine;
mod pool;

pub use cluster::{
    RemoteCluster, RemoteClusterSpec, RemoteClusterStatus, RemoteClusterTemplate,
    RemoteClusterTemplateResource, RemoteClusterTemplateSpec,
};
pub use machine::{
    RemoteMachine, RemoteMachineSpec, RemoteMachineStatus, RemoteMachineTemplate, RemoteMachineTemplateSpec,
};
pub use pool::{PooledMachineSpec, PooledRemoteMachine, PooledRemoteMachineSpec};
