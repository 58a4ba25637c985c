//! The manager: flags and wiring, nothing else.

pub mod options;
mod run;

pub use options::Options;
pub use run::{Followed, controllers, installation, provider_ids, run};
