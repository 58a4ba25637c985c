//! Which kinds are served by which provider, and how the API server asks about them: paths and names of webhooks, and
//! the configurations that are installed.
//!
//! Paths and names are the original's, and those of kinds that it did not ask about follow its pattern. Not for what is
//! answered: that is [`crate::conversion`] and [`crate::validation`].

use k8s_openapi::{
    api::admissionregistration::v1::{
        MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
        ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// Version that webhooks are asked in: requests in another one are converted first (`matchPolicy: Equivalent`).
pub const VERSION: &str = "v1beta2";
/// Path of conversion.
pub const CONVERT: &str = "/convert";
/// Namespace and Service before kustomize and clusterctl adapt them.
const SERVICE: (&str, &str) = ("k0smotron", "webhook-service");
/// Longest that the API server waits for an answer, in seconds.
const TIMEOUT_SECONDS: i32 = 10;

/// Parts of an installation that can run and be installed apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    Bootstrap,
    /// Brings hosted control planes too.
    ControlPlane,
    Infrastructure,
}

impl Provider {
    pub const ALL: [Self; 3] = [Self::Bootstrap, Self::ControlPlane, Self::Infrastructure];

    /// As in names and in `--enable-controller`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::ControlPlane => "control-plane",
            Self::Infrastructure => "infrastructure",
        }
    }
}

/// A kind of this project, as its definition names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub group: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub provider: Provider,
    /// Whether it has defaults that its schema cannot say.
    defaulted: bool,
}

const fn kind(group: &'static str, kind: &'static str, plural: &'static str, provider: Provider) -> Kind {
    Kind {
        group,
        kind,
        plural,
        provider,
        defaulted: false,
    }
}

const fn defaulted(kind: Kind) -> Kind {
    Kind {
        defaulted: true,
        ..kind
    }
}

const BOOTSTRAP: &str = "bootstrap.cluster.x-k8s.io";
const CONTROL_PLANE: &str = "controlplane.cluster.x-k8s.io";
const HOSTED: &str = "k0smotron.io";
const INFRASTRUCTURE: &str = "infrastructure.cluster.x-k8s.io";

/// Every kind.
pub const KINDS: [Kind; 14] = [
    kind(
        BOOTSTRAP,
        "K0sControllerConfig",
        "k0scontrollerconfigs",
        Provider::Bootstrap,
    ),
    kind(
        BOOTSTRAP,
        "K0sWorkerConfig",
        "k0sworkerconfigs",
        Provider::Bootstrap,
    ),
    kind(
        BOOTSTRAP,
        "K0sWorkerConfigTemplate",
        "k0sworkerconfigtemplates",
        Provider::Bootstrap,
    ),
    kind(
        CONTROL_PLANE,
        "K0sControlPlane",
        "k0scontrolplanes",
        Provider::ControlPlane,
    ),
    kind(
        CONTROL_PLANE,
        "K0sControlPlaneTemplate",
        "k0scontrolplanetemplates",
        Provider::ControlPlane,
    ),
    defaulted(kind(
        CONTROL_PLANE,
        "K0smotronControlPlane",
        "k0smotroncontrolplanes",
        Provider::ControlPlane,
    )),
    kind(
        CONTROL_PLANE,
        "K0smotronControlPlaneTemplate",
        "k0smotroncontrolplanetemplates",
        Provider::ControlPlane,
    ),
    defaulted(kind(HOSTED, "Cluster", "clusters", Provider::ControlPlane)),
    kind(
        HOSTED,
        "JoinTokenRequest",
        "jointokenrequests",
        Provider::ControlPlane,
    ),
    kind(
        INFRASTRUCTURE,
        "PooledRemoteMachine",
        "pooledremotemachines",
        Provider::Infrastructure,
    ),
    kind(
        INFRASTRUCTURE,
        "RemoteCluster",
        "remoteclusters",
        Provider::Infrastructure,
    ),
    kind(
        INFRASTRUCTURE,
        "RemoteClusterTemplate",
        "remoteclustertemplates",
        Provider::Infrastructure,
    ),
    kind(
        INFRASTRUCTURE,
        "RemoteMachine",
        "remotemachines",
        Provider::Infrastructure,
    ),
    kind(
        INFRASTRUCTURE,
        "RemoteMachineTemplate",
        "remotemachinetemplates",
        Provider::Infrastructure,
    ),
];

impl Kind {
    /// Name of the definition.
    #[must_use]
    pub fn definition(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// Path of the validating webhook.
    #[must_use]
    pub fn validating_path(&self) -> String {
        self.path("validate")
    }

    /// Path of the mutating webhook. Served for every kind, since the original's configurations name some that have no
    /// defaults.
    #[must_use]
    pub fn mutating_path(&self) -> String {
        self.path("mutate")
    }

    fn path(&self, verb: &str) -> String {
        let group = self.group.replace('.', "-");
        format!("/{verb}-{group}-{VERSION}-{}", self.kind.to_lowercase())
    }

    fn webhook(&self, verb: &str) -> String {
        let subject = match self.group {
            // There are other Clusters.
            HOSTED if self.kind == "Cluster" => "k0smotron-cluster".to_owned(),
            _ => self.kind.to_lowercase(),
        };
        format!("{verb}-{subject}-{VERSION}.k0smotron.io")
    }

    fn rules(&self) -> Vec<RuleWithOperations> {
        let one = |text: &str| Some(vec![text.to_owned()]);
        vec![RuleWithOperations {
            api_groups: one(self.group),
            api_versions: one(VERSION),
            operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
            resources: one(self.plural),
            scope: Some("Namespaced".to_owned()),
        }]
    }

    /// Only what rules are about is asked about: owners, finalizers and labels can be written while no manager runs, and
    /// nothing that is being deleted waits for one.
    fn conditions(&self) -> Vec<MatchCondition> {
        let changed = |field: &str| {
            format!(
                "has(object.{field}) != has(oldObject.{field}) || has(object.{field}) && object.{field} != oldObject.{field}"
            )
        };
        let mut expression = format!("request.operation == 'CREATE' || {}", changed("spec"));
        // Fields that the original moved into annotations.
        if self.group == HOSTED || self.kind.starts_with("K0smotron") {
            expression = format!("{expression} || {}", changed("metadata.annotations"));
        }
        let condition = |name: &str, expression: String| MatchCondition {
            name: name.to_owned(),
            expression,
        };
        vec![
            condition(
                "not-being-deleted",
                "!has(object.metadata.deletionTimestamp)".to_owned(),
            ),
            condition("changed", expression),
        ]
    }
}

fn client_config(path: String) -> WebhookClientConfig {
    WebhookClientConfig {
        service: Some(ServiceReference {
            namespace: SERVICE.0.to_owned(),
            name: SERVICE.1.to_owned(),
            path: Some(path),
            port: Some(443),
        }),
        ..WebhookClientConfig::default()
    }
}

fn metadata(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

/// The configurations of a provider as YAML documents, as written to `config/<provider>/webhooks.yaml`.
///
/// # Errors
/// When they cannot be serialised, which would be a fault of this crate.
pub fn to_yaml(provider: Provider) -> Result<String, serde_yaml::Error> {
    let mut text = "# Generated from crates/api by `make manifests`.\n".to_owned();
    if let Some(mutating) = mutating(provider) {
        text.push_str("---\n");
        text.push_str(&serde_yaml::to_string(&mutating)?);
    }
    text.push_str("---\n");
    text.push_str(&serde_yaml::to_string(&validating(provider))?);
    Ok(text)
}

/// Validation of a provider's kinds.
#[must_use]
pub fn validating(provider: Provider) -> ValidatingWebhookConfiguration {
    let webhooks = of(provider).map(|kind| ValidatingWebhook {
        name: kind.webhook("validate"),
        client_config: client_config(kind.validating_path()),
        rules: Some(kind.rules()),
        match_conditions: Some(kind.conditions()),
        admission_review_versions: vec!["v1".to_owned()],
        failure_policy: Some("Fail".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(TIMEOUT_SECONDS),
        ..ValidatingWebhook::default()
    });
    ValidatingWebhookConfiguration {
        metadata: metadata("validating-webhook-configuration"),
        webhooks: Some(webhooks.collect()),
    }
}

/// Defaults of a provider's kinds; none when all of them are in the schemas.
#[must_use]
pub fn mutating(provider: Provider) -> Option<MutatingWebhookConfiguration> {
    let webhooks: Vec<_> = of(provider)
        .filter(|kind| kind.defaulted)
        .map(|kind| MutatingWebhook {
            name: kind.webhook("mutate"),
            client_config: client_config(kind.mutating_path()),
            rules: Some(kind.rules()),
            match_conditions: Some(kind.conditions()),
            admission_review_versions: vec!["v1".to_owned()],
            failure_policy: Some("Fail".to_owned()),
            match_policy: Some("Equivalent".to_owned()),
            side_effects: "None".to_owned(),
            timeout_seconds: Some(TIMEOUT_SECONDS),
            ..MutatingWebhook::default()
        })
        .collect();
    (!webhooks.is_empty()).then(|| MutatingWebhookConfiguration {
        metadata: metadata("mutating-webhook-configuration"),
        webhooks: Some(webhooks),
    })
}

fn of(provider: Provider) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(move |kind| kind.provider == provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_names_are_the_originals() {
        let find = |name: &str| KINDS.iter().find(|kind| kind.kind == name).unwrap();
        let worker = find("K0sWorkerConfig");
        assert_eq!(
            worker.validating_path(),
            "/validate-bootstrap-cluster-x-k8s-io-v1beta2-k0sworkerconfig"
        );
        assert_eq!(
            worker.webhook("validate"),
            "validate-k0sworkerconfig-v1beta2.k0smotron.io"
        );
        let cluster = find("Cluster");
        assert_eq!(cluster.mutating_path(), "/mutate-k0smotron-io-v1beta2-cluster");
        assert_eq!(
            cluster.webhook("mutate"),
            "mutate-k0smotron-cluster-v1beta2.k0smotron.io"
        );
        assert_eq!(
            find("K0smotronControlPlane").validating_path(),
            "/validate-controlplane-cluster-x-k8s-io-v1beta2-k0smotroncontrolplane"
        );
    }

    #[test]
    fn kinds_are_those_of_the_definitions() {
        let mut listed: Vec<_> = KINDS.iter().map(Kind::definition).collect();
        listed.sort();
        for crd in crate::crds() {
            let name = crd.metadata.name.unwrap_or_default();
            assert!(listed.contains(&name), "{name} has no webhook");
        }
    }
}
