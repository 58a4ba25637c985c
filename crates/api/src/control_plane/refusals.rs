//! What of a spec cannot be followed, each with the field, its value and a remedy. Pure.
//!
//! The API server's validation refuses most of what is wrong; what gets past it (objects from before a rule, values
//! that are right but not supported yet) is said by a condition, never dropped.

use k0smotron_k0s::{arguments, cluster_config, names, version::Version};

use super::v1beta2::K0sControlPlaneSpec;

/// A value of the spec that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Path of the field, for example `spec.replicas`.
    pub field: String,
    /// The value found there.
    pub value: String,
    /// What is wrong with it and what to do about it.
    pub remedy: String,
    /// Whether the value is right and only not supported yet, or wrong.
    pub kind: RefusalKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// A field that this version does not support yet: the control plane is not written to.
    Unsupported,
    /// A change that this version does not bring to what exists yet: what exists stays as it is.
    Held,
    /// A value that no version will accept.
    Invalid,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.field, self.value, self.remedy)
    }
}

/// What of `spec` cannot be followed.
#[must_use]
pub fn refusals(spec: &K0sControlPlaneSpec) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut refuse = |kind, field: &str, value: &str, remedy: &str| {
        refusals.push(Refusal {
            kind,
            field: field.to_owned(),
            value: value.to_owned(),
            remedy: remedy.to_owned(),
        });
    };
    if Version::parse_lenient(&spec.version).is_err() {
        let remedy = "this is no version; set it to one such as v1.36.3+k0s.2";
        refuse(RefusalKind::Invalid, "spec.version", &spec.version, remedy);
    }
    if spec.replicas > 1 && arguments::single(&spec.k0s_config_spec.args) {
        let remedy =
            "with --single there is one controller and no other can join; set it to 1, or remove --single";
        refuse(
            RefusalKind::Invalid,
            "spec.replicas",
            &spec.replicas.to_string(),
            remedy,
        );
    }
    if spec.machine_template.infrastructure_ref().is_none() {
        let remedy = "name the template of the control plane machines";
        refuse(
            RefusalKind::Invalid,
            "spec.machineTemplate.spec.infrastructureRef",
            "not set",
            remedy,
        );
    }
    let naming = spec.machine_naming.as_ref();
    if let Some(template) = naming.and_then(|naming| naming.template.as_deref())
        && let Err(error) = names::templated_name(template, "cluster", "control-plane", "", 0)
    {
        let field = "spec.machineNaming.template";
        refuse(RefusalKind::Invalid, field, template, &error.to_string());
    }
    for set in spec.unsupported() {
        let (field, value) = set.split_once(": ").unwrap_or((&set, "set"));
        let remedy = "not supported by this version yet; remove or change it, nothing is done until then";
        refuse(RefusalKind::Unsupported, field, value, remedy);
    }
    // What the cluster adds to it cannot make it any worse.
    let config = spec.k0s_config_spec.k0s.as_ref();
    if let Err(error) = cluster_config::effective(config, &cluster_config::Inputs::default()) {
        refuse(
            RefusalKind::Invalid,
            "spec.k0sConfigSpec.k0s",
            "no k0s configuration",
            &error.to_string(),
        );
    }
    refusals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control_plane::v1beta2::K0sControlPlane;

    fn fields(spec: &str) -> Vec<String> {
        let plane: K0sControlPlane = serde_yaml::from_str(&format!(
            "apiVersion: controlplane.cluster.x-k8s.io/v1beta2\nkind: K0sControlPlane\nmetadata: {{name: demo}}\nspec: {spec}"
        ))
        .unwrap();
        refusals(&plane.spec)
            .into_iter()
            .map(|refusal| refusal.field)
            .collect()
    }

    const TEMPLATE: &str = "machineTemplate: {spec: {infrastructureRef: \
        {apiGroup: infrastructure.cluster.x-k8s.io, kind: RemoteMachineTemplate, name: controllers}}}";

    #[test]
    fn a_plain_control_plane_is_followed() {
        assert_eq!(
            fields(&format!(
                "{{version: v1.36.3+k0s.2, k0sConfigSpec: {{}}, {TEMPLATE}}}"
            )),
            [""; 0]
        );
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        let table = [
            ("version: nonsense", "spec.version"),
            (
                "version: v1.36.3, replicas: 3, k0sConfigSpec: {args: [--single]}",
                "spec.replicas",
            ),
            (
                "version: v1.36.3, k0sConfigSpec: {tunneling: {enabled: true}}",
                "spec.k0sConfigSpec.tunneling.enabled",
            ),
            (
                "version: v1.36.3, k0sConfigSpec: {provisioner: {type: powershell-xml}}",
                "spec.k0sConfigSpec.provisioner.type",
            ),
            (
                "version: v1.36.3, k0sConfigSpec: {k0s: {kind: Pod}}",
                "spec.k0sConfigSpec.k0s",
            ),
            (
                "version: v1.36.3, machineNaming: {template: '{{ .owner }}-{{ .random }}'}",
                "spec.machineNaming.template",
            ),
            (
                "version: v1.36.3, k0sConfigSpec: {provisioner: {platform: windows}}",
                "spec.k0sConfigSpec.provisioner.platform",
            ),
        ];
        for (spec, field) in table {
            assert_eq!(fields(&format!("{{{spec}, {TEMPLATE}}}")), [field], "{spec}");
        }
        assert_eq!(
            fields("{version: v1.36.3}"),
            ["spec.machineTemplate.spec.infrastructureRef"]
        );
    }
}
