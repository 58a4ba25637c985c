//! Machines for the tests: Debian with systemd and sshd, each in a network namespace of its own, run by `runc`.
//!
//! An instance number (1 to 254) decides everything that two planes on one host could collide on: bridge
//! `k0sm-<N>` with 10.88.N.1/24, machines at 10.88.N.10 and up, names `k0sm-<N>-<machine>` for namespaces and
//! containers, state under `/var/lib/k0smotron-e2e/<N>/`. All state is on disk or in the kernel, so any process can
//! take over or clean up what another one started, also after a crash.
//!
//! Needs root, and the Debian packages mmdebstrap, runc, iproute2 and openssh-client; ethtool for slow networks.
//!
//! Not here: k0s, Kubernetes, and anything that is shipped.

mod cgroup;
mod command;
mod container_images;
mod delay;
mod disk;
mod fault;
mod file_server;
mod image;
mod machine;
mod network;
mod oci;
mod runc;
mod ssh_key;
mod state;

pub use command::Output;
pub use delay::Delay;
pub use file_server::serve_file;
pub use image::MachineImage;
pub use machine::{Machine, MachineSpec, list, stop_all};
pub use network::Network;
pub use ssh_key::SshKey;
pub use state::instance_directory;
