//! The cloud-config that carries an install plan: written for cloud-init and for RemoteMachine, read by the latter.
//!
//! Of cloud-config only `write_files` and `runcmd` mean something here. What cloud-init would do beyond that on a
//! RemoteMachine's host is not done, and named in [`Parsed::ignored`].
//!
//! - [`render`]: the plan, with the user's own cloud-config merged into it;
//! - [`render_variables`]: the plan as variables of a cloud-config that is the user's own from end to end;
//! - [`parse`]: back to a plan.

mod custom;
mod read;
mod scalar;
mod variables;
mod write;

pub use custom::CustomError;
pub use read::{MAX_DOCUMENT, MAX_FILE, ParseError, Parsed, parse};
pub use variables::render_variables;
pub use write::render;

/// What makes the document a Jinja template first and YAML second.
const HEAD: &str = "## template: jinja\n#cloud-config\n";
const WRITE_FILES: &str = "write_files";
const RUNCMD: &str = "runcmd";

/// Whether cloud-init would expand something in the text.
fn has_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|open| text.contains(open))
}

#[cfg(test)]
mod custom_tests;
#[cfg(test)]
mod tests;
