//! Whether an object makes sense: the rules of every kind, as pure functions.
//!
//! For: what a schema and its CEL rules cannot say, because it needs two versions compared, a text parsed or several objects' fields
//! weighed. Webhooks, the command line and tests ask the same functions. Not for: decoding (objects come as JSON, and any JSON gets an
//! answer), and not for looking anything up.
//!
//! - A rule refuses what cannot work, contradicts itself or loses data. What is merely odd is a warning, and so is everything in the
//!   fields that users expand on purpose (arguments, commands, contents of files).
//! - Rules ratchet: what a stored object says already is never refused while it stays as it is.
//! - Empty texts and zeros count as unset: other tools store them where nothing was written.
//! - Deleting is never checked.

mod admission;
mod bootstrap;
mod control_plane;
mod defaults;
mod dry_run;
mod field;
mod hosted;
mod infrastructure;
mod k0s_config;
mod report;
mod upgrade;
pub mod values;

pub use admission::{admission, defaulting};
pub use defaults::{VERSION_OF_NEW_CLUSTERS, apply_defaults, apply_defaults_over};
pub use dry_run::{DryRun, to_dry_run};
pub use report::{Finding, Findings};

use std::borrow::Cow;

use serde_json::Value;

use crate::conversion;
use field::Field;
use report::Report;

/// What is wrong with an object, and what is worth a warning.
///
/// `object` and `old` are whole objects of this project's kinds, any version of them. Without `old` the object is about to be created.
/// Objects of other kinds, and objects that are being deleted, have no findings. Objects of version v1beta1 are converted first, so
/// findings name fields of v1beta2.
///
/// # Ratcheting
/// With `old`, a finding that `old` has too, about the same value, is a warning. So `validate(x, Some(x))` never has errors.
#[must_use]
pub fn validate(object: &Value, old: Option<&Value>) -> Findings {
    let object = latest(object);
    let old = old.map(latest);
    let object = Field::root(&object);
    if object.get("metadata").get("deletionTimestamp").is_set() {
        return Findings::default();
    }
    let Some(kind) = Kind::of(&object) else {
        return Findings::default();
    };
    let mut report = Report::default();
    match old.as_deref().map(Field::root) {
        None => {
            kind.check(&object, &mut report);
            kind.check_creation(&object, &mut report);
        }
        Some(old) => {
            kind.check(&object, &mut report);
            let mut before = Report::default();
            kind.check(&old, &mut before);
            report.forgive(before);
            kind.check_update(&object, &old, &mut report);
        }
    }
    report.into_findings()
}

/// The object at v1beta2; as it is when it cannot be converted.
fn latest(object: &Value) -> Cow<'_, Value> {
    let api_version = object
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !api_version.ends_with("/v1beta1") {
        return Cow::Borrowed(object);
    }
    conversion::convert(object.clone(), conversion::Version::V1Beta2)
        .map_or(Cow::Borrowed(object), Cow::Owned)
}

/// The kinds that have rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Cluster,
    JoinTokenRequest,
    K0smotronControlPlane,
    K0smotronControlPlaneTemplate,
    K0sControlPlane,
    K0sControlPlaneTemplate,
    K0sControllerConfig,
    K0sWorkerConfig,
    K0sWorkerConfigTemplate,
    PooledRemoteMachine,
    RemoteCluster,
    RemoteClusterTemplate,
    RemoteMachine,
    RemoteMachineTemplate,
}

impl Kind {
    fn of(object: &Field<'_>) -> Option<Self> {
        let (api_version, kind) = (object.get("apiVersion"), object.get("kind"));
        let (group, _) = api_version.text()?.split_once('/')?;
        Some(match (group, kind.text()?) {
            ("k0smotron.io", "Cluster") => Self::Cluster,
            ("k0smotron.io", "JoinTokenRequest") => Self::JoinTokenRequest,
            ("controlplane.cluster.x-k8s.io", "K0smotronControlPlane") => Self::K0smotronControlPlane,
            ("controlplane.cluster.x-k8s.io", "K0smotronControlPlaneTemplate") => {
                Self::K0smotronControlPlaneTemplate
            }
            ("controlplane.cluster.x-k8s.io", "K0sControlPlane") => Self::K0sControlPlane,
            ("controlplane.cluster.x-k8s.io", "K0sControlPlaneTemplate") => Self::K0sControlPlaneTemplate,
            ("bootstrap.cluster.x-k8s.io", "K0sControllerConfig") => Self::K0sControllerConfig,
            ("bootstrap.cluster.x-k8s.io", "K0sWorkerConfig") => Self::K0sWorkerConfig,
            ("bootstrap.cluster.x-k8s.io", "K0sWorkerConfigTemplate") => Self::K0sWorkerConfigTemplate,
            ("infrastructure.cluster.x-k8s.io", "PooledRemoteMachine") => Self::PooledRemoteMachine,
            ("infrastructure.cluster.x-k8s.io", "RemoteCluster") => Self::RemoteCluster,
            ("infrastructure.cluster.x-k8s.io", "RemoteClusterTemplate") => Self::RemoteClusterTemplate,
            ("infrastructure.cluster.x-k8s.io", "RemoteMachine") => Self::RemoteMachine,
            ("infrastructure.cluster.x-k8s.io", "RemoteMachineTemplate") => Self::RemoteMachineTemplate,
            _ => return None,
        })
    }

    /// The spec that the rules are about: templates have that of the kind they make.
    fn spec<'a>(self, object: &Field<'a>) -> Field<'a> {
        let spec = object.get("spec");
        match self {
            Self::K0smotronControlPlaneTemplate
            | Self::K0sControlPlaneTemplate
            | Self::K0sWorkerConfigTemplate
            | Self::RemoteClusterTemplate
            | Self::RemoteMachineTemplate => spec.get("template").get("spec"),
            _ => spec,
        }
    }

    /// Rules about the object as it is: the ones that ratchet.
    fn check(self, object: &Field<'_>, report: &mut Report) {
        let spec = self.spec(object);
        match self {
            Self::Cluster | Self::K0smotronControlPlane | Self::K0smotronControlPlaneTemplate => {
                hosted::check(&spec, report);
                hosted::check_legacy_annotations(object, &spec, report);
            }
            Self::JoinTokenRequest => hosted::check_join_token_request(&spec, report),
            Self::K0sControlPlane | Self::K0sControlPlaneTemplate => control_plane::check(&spec, report),
            Self::K0sControllerConfig => bootstrap::check_controller(&spec, report),
            Self::K0sWorkerConfig | Self::K0sWorkerConfigTemplate => bootstrap::check_worker(&spec, report),
            Self::PooledRemoteMachine => infrastructure::check_pooled_machine(&spec, report),
            Self::RemoteCluster | Self::RemoteClusterTemplate => infrastructure::check_cluster(&spec, report),
            Self::RemoteMachine | Self::RemoteMachineTemplate => infrastructure::check_machine(&spec, report),
        }
        if spec.path() != "spec" {
            values::metadata(&object.get("spec").get("template").get("metadata"), report);
        }
    }

    /// Rules about what may be made anew, but stays allowed where it exists.
    fn check_creation(self, object: &Field<'_>, report: &mut Report) {
        match self {
            Self::Cluster => {
                hosted::check_name(object, report);
                upgrade::check_creation(object, report);
            }
            Self::K0smotronControlPlane | Self::K0sControlPlane => upgrade::check_creation(object, report),
            Self::JoinTokenRequest => hosted::check_request_name(object, report),
            _ => {}
        }
    }

    /// Rules about the step from one state to the next.
    fn check_update(self, object: &Field<'_>, old: &Field<'_>, report: &mut Report) {
        match self {
            Self::Cluster | Self::K0smotronControlPlane => {
                upgrade::check_update(object, old, report);
                hosted::check_update(&self.spec(object), &self.spec(old), report);
            }
            Self::K0sControlPlane => upgrade::check_update(object, old, report),
            Self::JoinTokenRequest => hosted::check_request_update(object, old, report),
            Self::RemoteMachine => infrastructure::check_machine_update(object, old, report),
            Self::PooledRemoteMachine => infrastructure::check_pooled_machine_update(object, old, report),
            _ => {}
        }
    }
}
