//! Container images without a container engine or a registry: layers from files, images from layers, OCI archives
//! from images, the same bytes every time.
//!
//! * [`manager`]: the image that is released, which `make image` writes with this crate's program.
//! * [`catalog`]: what the nodes of the tests run: k0s, etcd, and what k0s itself deploys, under the names that are
//!   asked for there.
//!
//! Not here: how an archive gets onto a node.

pub mod archive;
mod base;
pub mod catalog;
mod image;
mod layer;
mod libraries;
pub mod manager;
pub mod pause;
mod program;

pub use image::Image;
pub use layer::{Encoding, Layer, LayerBuilder};
