//! The endpoint of a control plane under test, and what watches it while things go wrong: a load balancer in front of
//! the controllers, a probe that finds the longest time without an answer, and a writer that knows what was
//! acknowledged to it.
//!
//! Not here: what goes wrong (faults are the machines' own), and what a control plane is made of.

mod identity;
mod load_balancer;
mod probe;
mod writer;

pub use identity::identity;
pub use load_balancer::{Check, LoadBalancer, Service};
pub use probe::{Availability, Probe};
pub use writer::{Writer, Written};
