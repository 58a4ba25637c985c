//! The cloud-config that carries an install plan: written for cloud-init and for RemoteMachine, read by the latter.
//!
//! Of cloud-config only `write_files` and `runcmd` mean something here. What cloud-init would do beyond that on a
//! RemoteMachine's host is not done, and named in [`Parsed::ignored`].

mod read;
mod write;

pub use read::{MAX_DOCUMENT, MAX_FILE, ParseError, Parsed, parse};
pub use write::{RenderError, render};

const WRITE_FILES: &str = "write_files";
const RUNCMD: &str = "runcmd";

#[cfg(test)]
mod tests;
