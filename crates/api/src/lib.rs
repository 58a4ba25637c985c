//! The kinds that k0smotron serves, and what it reads of other projects' kinds.
//!
//! For: types, defaults, validation rules, contract labels and the names (labels, annotations, finalizers, conditions) that every
//! provider agrees on. Not for: clients, async code or decisions; those live in the providers.
//!
//! - [`bootstrap`], [`control_plane`], [`infrastructure`]: our own kinds, one module per API version.
//! - [`capi`], [`k0s_objects`]: read models of Cluster API's and k0s' own kinds: only the fields a provider reads, each optional.
//! - [`names`]: keys and names of the contract and of this project.
//! - [`crds`]: the CustomResourceDefinitions that are installed, generated from the types.

// Printer columns of one kind may have the same type; the lint takes them for one attribute.
#![allow(clippy::duplicated_attributes)]

pub mod bootstrap;
pub mod capi;
pub mod control_plane;
pub mod infrastructure;
pub mod k0s_objects;
pub mod meta;
pub mod names;
pub mod schema;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// Every CustomResourceDefinition that k0smotron installs, ordered by name.
///
/// The schemas are tidied (see [`schema::tidy`]) so that they read like the ones of other Cluster API providers.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        bootstrap::v1beta2::K0sControllerConfig::crd(),
        bootstrap::v1beta2::K0sWorkerConfig::crd(),
        bootstrap::v1beta2::K0sWorkerConfigTemplate::crd(),
        control_plane::v1beta2::K0sControlPlane::crd(),
        infrastructure::v1beta2::PooledRemoteMachine::crd(),
        infrastructure::v1beta2::RemoteCluster::crd(),
        infrastructure::v1beta2::RemoteClusterTemplate::crd(),
        infrastructure::v1beta2::RemoteMachine::crd(),
        infrastructure::v1beta2::RemoteMachineTemplate::crd(),
    ];
    crds.iter_mut().for_each(schema::tidy);
    crds.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    crds
}
