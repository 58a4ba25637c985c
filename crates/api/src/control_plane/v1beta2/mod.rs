//! Version `v1beta2` of the control-plane kinds.

mod control_plane;
mod k0smotron_control_plane;
mod k0smotron_control_plane_template;
mod machine_template;
mod rollout;
mod status;
mod template;
mod timeouts;

pub use control_plane::{K0sControlPlane, K0sControlPlaneSpec, UpdateStrategy};
pub use k0smotron_control_plane::{
    K0smotronControlPlane, K0smotronControlPlaneSpec, K0smotronControlPlaneStatus,
};
pub use k0smotron_control_plane_template::{
    K0smotronControlPlaneTemplate, K0smotronControlPlaneTemplateResource, K0smotronControlPlaneTemplateSpec,
};
pub use machine_template::{
    InfrastructureReference, MachineSettings, MachineTemplate, MachineTemplateSpec, TemplatedMachineTemplate,
};
pub use rollout::{MachineNaming, Remediation, Rollout};
pub use status::{ControlPlaneInitialization, K0sControlPlaneStatus, LastRemediation, VersionCount};
pub use template::{
    K0sControlPlaneTemplate, K0sControlPlaneTemplateResource, K0sControlPlaneTemplateSpec,
    TemplatedControlPlaneSpec,
};
pub use timeouts::DeletionTimeouts;

pub use crate::bootstrap::v1beta2::K0sConfigSpec;
