//! Version `v1beta2` of the bootstrap kinds.

mod controller;
mod files;
mod k0s_config;
mod provisioner;
mod status;
mod worker;

pub use controller::{K0sControllerConfig, K0sControllerConfigSpec};
pub use files::{ContentSource, File, KeyReference};
pub use k0s_config::{DEFAULT_INSTALL_DIR, K0sConfigSpec, TunnelingMode, TunnelingSpec};
pub use provisioner::{IgnitionSpec, IgnitionVariant, Platform, ProvisionerSpec, ProvisionerType};
pub use status::{BootstrapStatus, DataSecretInitialization};
pub use worker::{
    K0sWorkerConfig, K0sWorkerConfigSpec, K0sWorkerConfigTemplate, K0sWorkerConfigTemplateResource,
    K0sWorkerConfigTemplateSpec,
};
