//! Keys and names that providers, users and other tools agree on: labels, annotations, finalizers, field managers, conditions.
//!
//! For: every name that is written into an API object, each in one place. Not for: names of generated objects, which follow from the
//! objects themselves (crate `k0smotron-k0s`, and [`secrets`]).

pub mod annotations;
pub mod conditions;
pub mod field_managers;
pub mod finalizers;
pub mod hosted;
pub mod labels;
pub mod secrets;
