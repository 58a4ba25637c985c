//! Bootstrap provider: the data by which a host becomes a k0s worker or controller, and provider IDs on nodes.
//!
//! - [`k0s_worker_config`], [`k0s_controller_config`]: one folder per kind, one file per step.
//! - [`provider_id`]: tells Cluster API which node is which Machine.
//! - what the kinds share: what a config belongs to ([`belonging`], [`prerequisites`]), content that specs refer to
//!   ([`content`]), join tokens ([`join_token`], [`token_upkeep`]), the data's format and size ([`payload`]), its Secret
//!   ([`data_secret`]), and what is said of a config ([`verdict`], [`report`]).
//!
//! What the data consists of is k0s' business and lives in `k0smotron-k0s`.

mod belonging;
mod content;
mod data_secret;
mod join_token;
pub mod k0s_controller_config;
pub mod k0s_worker_config;
mod payload;
mod prerequisites;
pub mod provider_id;
mod report;
mod token_upkeep;
mod verdict;
mod version;

use futures::future::BoxFuture;
use k0smotron_api::capi::{Cluster, Machine};
use k0smotron_runtime::{Context, shared::Shared};

/// The controllers of the bootstrap provider. Each runs until dropped.
pub fn controllers(
    context: &Context,
    clusters: &Shared<Cluster>,
    machines: &Shared<Machine>,
) -> Vec<BoxFuture<'static, ()>> {
    vec![
        k0s_worker_config::controller(context, clusters, machines),
        k0s_controller_config::controller(context, clusters, machines),
    ]
}

/// The controller of provider IDs, which runs where bootstrap or infrastructure does.
pub fn provider_ids(
    context: &Context,
    clusters: &Shared<Cluster>,
    _machines: &Shared<Machine>,
) -> Vec<BoxFuture<'static, ()>> {
    vec![provider_id::controller(context, clusters)]
}
