//! What happens on a host, and how it is asked for: the protocol between a manager that may die at any moment and a
//! host that may, too.
//!
//! On the host, below `/var/lib/k0smotron` (`~/.k0smotron` of a user who is not root):
//!
//! | path | what it is |
//! |---|---|
//! | `host` | the lock: a link to the install id of the one RemoteMachine that the host belongs to |
//! | `install-<id>/owner` | that RemoteMachine, for people |
//! | `install-<id>/files` | the files that were written and not there before |
//! | `install-<id>/bootstrap/`, `…/cleanup/` | a job: `steps/`, `done/`, `output/`, `turn.<n>`, `result` |
//! | `install-<id>/complete` | the bootstrap is over, and never runs again under this id |
//!
//! A job is run by a process of its own that outlives the connection. Whoever connects next, with the same id, finds
//! it running and waits for it, finds its result, or goes on behind the last step that is done.
//!
//! Nothing in here knows Kubernetes.

mod answer;
mod problem;
pub mod redact;
pub mod script;
pub mod work;

#[cfg(test)]
mod bootstrap_tests;
#[cfg(test)]
mod cleanup_tests;
#[cfg(test)]
mod test_host;

pub use answer::Answer;
pub use problem::Problem;
