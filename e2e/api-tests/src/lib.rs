//! Tests of the controllers against real API servers, real Cluster API core and real hosts with sshd, with faults
//! between any two writes. Only k0s itself is a mock here (`fake-k0s.sh`): what is tested is what happens around it.
//!
//! Needs root, for the hosts.

pub mod crash;
pub mod world;
