//! Hosted control planes: control planes that run as pods, and tokens to join them.
//!
//! | module | what it is for |
//! |---|---|
//! | [`k0smotron_cluster`] | Cluster of k0smotron.io: a control plane in pods |
//! | [`join_token_request`] | JoinTokenRequest: a token for a node |
//! | [`k0smotron_control_plane`] | K0smotronControlPlane: a Cluster under Cluster API |

pub mod join_token_request;
pub mod k0smotron_cluster;
pub mod k0smotron_control_plane;

use futures::{FutureExt, future::BoxFuture};
use k0smotron_api::capi::{Cluster, Machine};
use k0smotron_runtime::{Context, shared::Shared};

/// The controllers of group k0smotron.io, which need no Cluster API. Each runs until dropped.
pub fn standalone(context: &Context) -> Vec<BoxFuture<'static, ()>> {
    vec![
        k0smotron_cluster::run(context.clone()).boxed(),
        join_token_request::run(context.clone()).boxed(),
    ]
}

/// The controllers under Cluster API. Each runs until dropped.
pub fn cluster_api(
    context: &Context,
    clusters: &Shared<Cluster>,
    machines: &Shared<Machine>,
) -> Vec<BoxFuture<'static, ()>> {
    vec![k0smotron_control_plane::run(context.clone(), clusters.clone(), machines.clone()).boxed()]
}
