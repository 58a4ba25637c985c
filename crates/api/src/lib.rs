//! The kinds that k0smotron serves, and what it reads of other projects' kinds.
//!
//! For: types, defaults, validation rules, contract labels and the names (labels, annotations, finalizers, conditions) that every
//! provider agrees on. Not for: clients, async code or decisions; those live in the providers.
//!
//! - [`bootstrap`], [`control_plane`], [`infrastructure`], [`k0smotron`]: our own kinds, one module per API version.
//! - [`embedded`]: Kubernetes' own types inside of our kinds.
//! - [`capi`], [`k0s_objects`]: read models of Cluster API's and k0s' own kinds: only the fields a provider reads, each optional.
//! - [`conversion`]: from one version of a kind to the other, without loss.
//! - [`validation`]: the rules that schemas cannot say, and defaults.
//! - [`drift`]: in what a Machine differs from what its control plane asks for.
//! - [`names`]: keys and names of the contract and of this project.
//! - [`unsupported`]: what a spec asks for and this version does not do yet.
//! - [`crds`]: the CustomResourceDefinitions that are installed, generated from the types.

// Printer columns of one kind may have the same type; the lint takes them for one attribute.
#![allow(clippy::duplicated_attributes)]

pub mod bootstrap;
pub mod capi;
pub mod control_plane;
pub mod conversion;
mod definitions;
pub mod drift;
pub mod embedded;
pub mod infrastructure;
pub mod k0s_objects;
pub mod k0smotron;
pub mod meta;
pub mod names;
pub mod schema;
pub mod unsupported;
pub mod validation;
pub mod webhooks;

pub use definitions::{Kind, crds, kinds};
