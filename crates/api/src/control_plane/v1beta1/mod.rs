//! Version `v1beta1` of the control-plane kinds: what is served to clients that have not moved on.
//!
//! For: the schemas. Not for: controllers, which see `v1beta2` only; objects are converted as JSON.

mod control_plane;
mod k0smotron_control_plane;
mod k0smotron_control_plane_template;
mod status;
mod template;

pub use control_plane::{K0sControlPlane, K0sControlPlaneSpec};
pub use k0smotron_control_plane::{
    K0smotronControlPlane, K0smotronControlPlaneSpec, K0smotronControlPlaneStatus,
};
pub use k0smotron_control_plane_template::{
    K0smotronControlPlaneTemplate, K0smotronControlPlaneTemplateResource, K0smotronControlPlaneTemplateSpec,
};
pub use status::{ControlPlaneInitialization, K0sControlPlaneStatus};
pub use template::{
    K0sControlPlaneTemplate, K0sControlPlaneTemplateResource, K0sControlPlaneTemplateSpec,
    TemplatedControlPlaneSpec,
};
