//! What `k0smotronctl` does: manifests of k0smotron converted and checked without a cluster, and a cluster checked before k0smotron takes
//! over. Not for: options, files and terminals, which are `main.rs`'s.

mod comments;
pub mod convert;
pub mod document;
mod emit;
mod metadata;
pub mod migrate;
mod path;
pub mod schema;
pub mod validate;
