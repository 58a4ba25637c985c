//! Read models of Cluster API's own kinds at `cluster.x-k8s.io/v1beta2`.
//!
//! For: the fields that a provider reads, each optional in decoding, so that an older or newer Cluster API never stops a watch. A
//! [`Machine`] may also be created by server-side apply: only what is set is serialised. Not for: replacing whole objects, which would
//! lose every field that is not modelled here.

mod cluster;
mod deployment;
mod machine;
mod values;

pub use cluster::{
    Cluster, ClusterInitialization, ClusterNetwork, ClusterSpec, ClusterStatus, FailureDomain, NetworkRanges,
};
pub use deployment::{
    MachineDeployment, MachineDeploymentSpec, MachineDeploymentStatus, MachinePool, MachinePoolSpec,
    MachineSet, MachineSetSpec, MachineSetStatus, MachineTemplateResource,
};
pub use machine::{
    Bootstrap, Machine, MachineInitialization, MachineSpec, MachineStatus, NodeReference, ReadinessGate,
    Taint,
};
pub use values::{ContractReference, Endpoint, MachineAddress, MachineAddressType, MachineDeletion};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// API group of Cluster API's core kinds.
pub const GROUP: &str = "cluster.x-k8s.io";
/// API version of the read models.
pub const API_VERSION: &str = "cluster.x-k8s.io/v1beta2";

/// The condition of this type, if it has been reported.
#[must_use]
pub fn find_condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of this type has been reported with status `True`.
#[must_use]
pub fn condition_is_true(conditions: &[Condition], type_: &str) -> bool {
    find_condition(conditions, type_).is_some_and(|condition| condition.status == "True")
}
