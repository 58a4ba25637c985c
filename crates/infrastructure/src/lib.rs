//! The infrastructure provider: clusters of hosts that exist already and are reached over SSH.
//!
//! | module | what it is for |
//! |---|---|
//! | [`remote_cluster`] | RemoteCluster: no more than an endpoint |
//! | [`remote_machine`] | RemoteMachine: one host, set up and cleaned up |
//! | [`pooled_remote_machine`] | PooledRemoteMachine: shows who has a host of a pool |
//! | [`pool`] | which host of a pool a machine gets |
//! | [`host`] | what happens on a host; knows no Kubernetes |

pub mod host;
pub mod pool;
pub mod pooled_remote_machine;
pub mod remote_cluster;
pub mod remote_machine;

mod belonging;
mod permits;

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use k0smotron_api::{
    capi::{Cluster, Machine},
    infrastructure::v1beta2::PooledRemoteMachine,
};
use k0smotron_runtime::{Context, shared::Shared};
use k0smotron_ssh::SshTransport;
use kube::runtime::watcher;

use self::permits::FewLogins;

/// The controllers of this provider. Each runs until dropped.
pub fn controllers(
    context: &Context,
    clusters: &Shared<Cluster>,
    machines: &Shared<Machine>,
) -> Vec<BoxFuture<'static, ()>> {
    let pool = Shared::<PooledRemoteMachine>::watch(context, watcher::Config::default().page_size(100));
    vec![
        remote_cluster::run(context.clone(), clusters.clone(), machines.clone()).boxed(),
        remote_machine::run(
            context.clone(),
            clusters.clone(),
            machines.clone(),
            pool,
            Arc::new(FewLogins::over(Arc::new(SshTransport))),
        )
        .boxed(),
        pooled_remote_machine::run(context.clone()).boxed(),
    ]
}
