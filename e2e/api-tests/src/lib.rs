//! Tests against real API servers.
//!
//! - [`world`], [`crash`]: the controllers with real Cluster API core and real hosts with sshd, with faults between any two
//!   writes. Only k0s itself is a mock here (`fake-k0s.sh`): what is tested is what happens around it. Needs root.
//! - [`served`]: conversion, admission and migration, asked by the API server itself.

pub mod crash;
pub mod served;
pub mod world;
