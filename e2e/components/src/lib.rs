//! Upstream binaries for the tests: kube-apiserver, etcd, containerd, Cluster API and their companions.
//!
//! Every component has a thin Go module under `e2e/upstream/<component>` that pins its version, and is built from
//! there into a cache, once for each combination of module files, flags and Go version. After that [`ensure`] is a
//! look-up, and works without a network.
//!
//! Not here: anything that is run in a release, and how the binaries are started.

mod build;
mod cache;
mod component;
mod go;
pub mod store;

pub use cache::directory as cache_directory;
pub use component::Component;

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The directory that holds the binaries of `component` under their upstream names, built first if need be.
///
/// Concurrent callers, also in other processes, wait for one build. Long steps print one line to standard error.
///
/// # Errors
/// Go is missing or older than 1.26, the build fails, or the cache cannot be written.
pub fn ensure(component: Component) -> Result<PathBuf> {
    let toolchain = go::Toolchain::find()?;
    let key = cache::key(component, &toolchain)?;
    cache::Cache::open()?
        .get_or_build(component, &key, |target| {
            build::build(component, &toolchain, target)
        })
        .with_context(|| format!("cannot provide {component}"))
}

/// Every component, one after the other: Go uses all processors for one of them already.
///
/// # Errors
/// As [`ensure`], for the first component that fails.
pub fn ensure_all() -> Result<Vec<(Component, PathBuf)>> {
    Component::ALL
        .into_iter()
        .map(|component| Ok((component, ensure(component)?)))
        .collect()
}
