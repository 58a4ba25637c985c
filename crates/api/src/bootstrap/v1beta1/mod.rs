//! Version `v1beta1` of the bootstrap kinds: what is served to clients that have not moved on.
//!
//! For: the schemas. Not for: controllers, which see `v1beta2` only; objects are converted as JSON.

mod controller;
mod host;
mod k0s_config;
mod status;
mod worker;

pub use controller::{K0sControllerConfig, K0sControllerConfigSpec};
pub use host::HostSetup;
pub use k0s_config::K0sConfigSpec;
pub use status::BootstrapStatus;
pub use worker::{
    K0sWorkerConfig, K0sWorkerConfigSpec, K0sWorkerConfigTemplate, K0sWorkerConfigTemplateResource,
    K0sWorkerConfigTemplateSpec,
};
