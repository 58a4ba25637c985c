//! What k0s is: versions, ClusterConfig, join tokens, PKI, kubeconfigs, install plans and the cloud-config or Ignition
//! that carries them.
//!
//! Everything here is a value or a pure function (the only outside thing is the random generator). No Kubernetes
//! client, no async, no decision about Machines: the providers ask, this crate answers.

pub mod api_endpoint;
pub mod arguments;
pub mod cloud_config;
pub mod cluster_config;
pub mod controller;
mod download;
pub mod ignition;
pub mod installation;
pub mod kubeconfig;
pub mod live_config;
pub mod membership;
pub mod names;
pub mod pki;
pub mod plan;
pub mod powershell;
mod shell;
pub mod storage;
pub mod token;
pub mod version;
mod windows;
pub mod worker;

#[cfg(test)]
mod shellcheck_tests;
