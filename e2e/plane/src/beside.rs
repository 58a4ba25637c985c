//! Further processes that live and die with a plane, as the file server of a scenario.

use std::path::Path;

use anyhow::Result;

use crate::nodes::NodePlane;
use crate::plane::Plane;
use crate::process::Spec;

impl Plane {
    /// Runs a program until [`Plane::down`]. What runs already is kept, unless program or arguments have changed.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn run_beside(&self, name: &str, program: &Path, args: Vec<String>) -> Result<()> {
        self.processes
            .ensure(&Spec::new(name, program.to_owned(), args))
            .await
    }
}

impl NodePlane {
    /// Runs a program on this host until [`NodePlane::down`], as [`Plane::run_beside`].
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn run_beside(&self, name: &str, program: &Path, args: Vec<String>) -> Result<()> {
        self.processes
            .ensure(&Spec::new(name, program.to_owned(), args))
            .await
    }
}
