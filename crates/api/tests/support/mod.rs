//! What several tests need. Each test compiles its own copy, and no test needs all of it.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

pub mod generate;
pub mod json;
