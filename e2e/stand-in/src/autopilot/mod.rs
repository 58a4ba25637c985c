//! Autopilot: carries out the Plan named `autopilot`, one node after the other.
//!
//! The leading controller walks through the Plan and writes a signal onto the object of the node whose turn it is
//! ([`leader`], [`plan`]); that node's own k0s downloads the release, replaces its executable, ends itself to be
//! started again by the init system, and reports every step in the same signal ([`host`]). States, annotations and
//! pauses are those of k0s v1.36. `airgapupdate` and UpdateConfig are not played.

mod drain;
mod host;
mod leader;
mod plan;
mod signal;
mod signal_node;

pub use self::{host::Host, leader::Leader, signal_node::SignalKind};

/// Namespace and name of the lease of autopilot's leader.
pub const LEASE_NAMESPACE: &str = "k0s-autopilot";
pub const LEASE_NAME: &str = "k0s-autopilot-controller";
/// Label of that lease whose value, when it is the holder, says that the leader cordons all nodes.
pub const CENTRAL_CORDONING_LABEL: &str = "autopilot.k0sproject.io/central-cordoning";
/// Annotation of a ControlNode: whether pods run on that host.
pub const MODE_ANNOTATION: &str = "autopilot.k0sproject.io/mode";
pub const MODE_CONTROLLER: &str = "controller";
pub const MODE_CONTROLLER_WORKER: &str = "controller+worker";
