//! Control plane provider: K0sControlPlane, one folder per kind, one file per step.

pub mod k0s_control_plane;

use futures::future::BoxFuture;
use k0smotron_api::capi::{Cluster, Machine};
use k0smotron_runtime::{Context, shared::Shared};

/// The controllers of the control plane provider. Each runs until dropped.
pub fn controllers(
    context: &Context,
    clusters: &Shared<Cluster>,
    machines: &Shared<Machine>,
) -> Vec<BoxFuture<'static, ()>> {
    vec![k0s_control_plane::controller(context, clusters, machines)]
}
