//! Version `v1beta2` of the control-plane kinds.

mod control_plane;
mod machine_template;
mod status;

pub use control_plane::{K0sControlPlane, K0sControlPlaneSpec, UpdateStrategy};
pub use machine_template::{InfrastructureReference, MachineTemplate, MachineTemplateSpec};
pub use status::{ControlPlaneInitialization, K0sControlPlaneStatus, VersionCount};

pub use crate::bootstrap::v1beta2::K0sConfigSpec;
