//! Management clusters for the tests, made of the real upstream components: as plain processes on loopback, or on a
//! machine where k0s runs them.
//!
//! * [`ApiServer`]: etcd and kube-apiserver only, in a temporary directory, gone when dropped. For API tests.
//! * [`EtcdPlace`]: a member of etcd with TLS, for tests of what talks to etcd itself.
//! * [`Plane`]: a whole management plane that outlives the program which started it, with an instance number that
//!   decides its ports and its state directory. On it: [`clusterctl`] installs the providers offline, [`core`] runs
//!   Cluster API's own manager, [`managers`] runs ours, once for each installed Deployment and with the rights of
//!   its ServiceAccount, and [`other_operator`] runs one that serves the same API in their place. It has no nodes:
//!   nothing scheduled on it ever runs.
//! * [`nodes::NodePlane`]: one with a node, where Cluster API and our managers run as pods.

mod api_server;
pub mod audit;
mod beside;
pub mod clusterctl;
pub mod core;
mod deployed;
mod etcd;
mod kubeconfig;
pub mod managers;
pub mod manifests;
pub mod nodes;
pub mod other_operator;
mod pki;
mod plane;
mod ports;
mod process;
mod programs;
mod tethered;
mod wait;
mod webhooks;

pub use api_server::{ApiServer, Options};
pub use etcd::{EtcdMember, EtcdPlace};
pub use plane::Plane;
pub use ports::{Ports, free as free_port};
pub use tethered::Tethered;
