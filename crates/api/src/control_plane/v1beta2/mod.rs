//! Version `v1beta2` of the control-plane kinds.

mod control_plane;
mod machine_template;
mod rollout;
mod status;
mod template;
mod timeouts;

pub use control_plane::{K0sControlPlane, K0sControlPlaneSpec, UpdateStrategy};
pub use machine_template::{
    InfrastructureReference, MachineSettings, MachineTemplate, MachineTemplateSpec, TemplatedMachineTemplate,
};
pub use rollout::{MachineNaming, Remediation, Rollout};
pub use status::{ControlPlaneInitialization, K0sControlPlaneStatus, VersionCount};
pub use template::{
    K0sControlPlaneTemplate, K0sControlPlaneTemplateResource, K0sControlPlaneTemplateSpec,
    TemplatedControlPlaneSpec,
};
pub use timeouts::DeletionTimeouts;

pub use crate::bootstrap::v1beta2::K0sConfigSpec;
