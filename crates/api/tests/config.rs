//! What clusterctl is given: components, metadata and templates (contract CT5 to CT22).

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../examples/render/kustomize.rs"]
mod kustomize;

use std::{collections::BTreeSet, fs, path::PathBuf};

use k0smotron_api::webhooks;
use serde_json::Value;

const PROVIDERS: [(&str, &str); 3] = [
    ("bootstrap", "bootstrap.cluster.x-k8s.io"),
    ("control-plane", "controlplane.cluster.x-k8s.io"),
    ("infrastructure", "infrastructure.cluster.x-k8s.io"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn components(provider: &str) -> Vec<Value> {
    kustomize::build(&root().join("config").join(provider)).unwrap()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[test]
fn components_follow_the_contract_of_clusterctl() {
    for (provider, _) in PROVIDERS {
        let objects = components(provider);
        assert_eq!(of_kind(&objects, "Namespace").len(), 1, "CT10");
        for object in &objects {
            let name = text(object, "/metadata/name");
            let kind = text(object, "/kind");
            let label = text(object, "/metadata/labels/cluster.x-k8s.io~1provider");
            assert_eq!(
                label,
                format!("{provider}-k0sproject-k0smotron"),
                "CT13: {kind} {name}"
            );
            if kind == "Namespace" || kind == "CustomResourceDefinition" {
                continue;
            }
            // clusterctl removes old cluster-scoped objects only when their names begin with the namespace (CT28).
            assert!(
                name.starts_with("k0smotron-") && name.ends_with(&format!("-{provider}")),
                "{kind} {name}"
            );
            let cluster_scoped = kind.starts_with("ClusterRole") || kind.ends_with("WebhookConfiguration");
            assert_eq!(
                text(object, "/metadata/namespace"),
                if cluster_scoped { "" } else { "k0smotron" },
                "CT11"
            );
        }
    }
}

#[test]
fn a_provider_installs_the_definitions_of_its_own_group() {
    let mut installed = BTreeSet::new();
    for (provider, group) in PROVIDERS {
        for crd in of_kind(&components(provider), "CustomResourceDefinition") {
            let of_crd = text(crd, "/spec/group");
            // A K0smotronControlPlane is made of a Cluster of k0smotron.io.
            let hosted = provider == "control-plane" && of_crd == "k0smotron.io";
            assert!(of_crd == group || hosted, "{provider}: {of_crd}");
            installed.insert(text(crd, "/metadata/name").to_owned());
        }
    }
    let all: BTreeSet<_> = k0smotron_api::crds()
        .into_iter()
        .filter_map(|crd| crd.metadata.name)
        .collect();
    assert_eq!(installed, all);
}

#[test]
fn the_manager_is_confined_and_runs_its_provider() {
    for (provider, _) in PROVIDERS {
        let objects = components(provider);
        let [deployment] = of_kind(&objects, "Deployment")[..] else {
            panic!("one Deployment for {provider}")
        };
        let containers = deployment
            .pointer("/spec/template/spec/containers")
            .unwrap()
            .as_array()
            .unwrap();
        let [container] = &containers[..] else {
            panic!("one container for {provider}")
        };
        assert_eq!(text(container, "/name"), "manager", "CT12");
        let image = format!("quay.io/k0sproject/k0smotron:v{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(text(container, "/image"), image, "CT14");
        let args: Vec<_> = container["args"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert!(
            args.contains(&&*format!("--enable-controller={provider}")) && args.contains(&"--leader-elect")
        );
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
        assert_eq!(
            deployment
                .pointer("/spec/template/spec/securityContext/runAsNonRoot")
                .unwrap(),
            true
        );
        // Selector and pods agree, or the Deployment is refused.
        let selector = deployment
            .pointer("/spec/selector/matchLabels")
            .unwrap()
            .as_object()
            .unwrap();
        let labels = deployment
            .pointer("/spec/template/metadata/labels")
            .unwrap()
            .as_object()
            .unwrap();
        assert!(
            selector.iter().all(|(key, value)| labels.get(key) == Some(value)),
            "{provider}"
        );
        assert_eq!(selector["k0smotron-provider"], provider);
    }
}

/// Bindings bind the roles to the account that the manager runs as.
#[test]
fn names_refer_to_each_other() {
    for (provider, _) in PROVIDERS {
        let objects = components(provider);
        let named = |kind: &str, name: &str| {
            of_kind(&objects, kind)
                .iter()
                .any(|object| text(object, "/metadata/name") == name)
        };
        let account = text(
            of_kind(&objects, "Deployment")[0],
            "/spec/template/spec/serviceAccountName",
        );
        assert!(named("ServiceAccount", account), "{provider}: {account}");
        for (kind, count) in [("RoleBinding", 2), ("ClusterRoleBinding", 1)] {
            let bindings = of_kind(&objects, kind);
            assert_eq!(bindings.len(), count, "{provider}: {kind}");
            for binding in bindings {
                assert!(
                    named(text(binding, "/roleRef/kind"), text(binding, "/roleRef/name")),
                    "{provider}: {kind}"
                );
                assert_eq!(text(binding, "/subjects/0/name"), account, "{provider}: {kind}");
            }
        }
    }
}

/// No role reaches what it does not need: no wildcard verbs or groups, no deletion of Secrets, nothing about roles.
#[test]
fn roles_are_narrow() {
    for (provider, _) in PROVIDERS {
        let objects = components(provider);
        for role in of_kind(&objects, "ClusterRole") {
            for rule in role["rules"].as_array().unwrap() {
                let has = |field: &str, value: &str| {
                    rule[field].as_array().unwrap().iter().any(|item| item == value)
                };
                assert!(!has("verbs", "*") && !has("apiGroups", "*"), "{provider}: {rule}");
                assert!(
                    !has("apiGroups", "rbac.authorization.k8s.io"),
                    "{provider}: {rule}"
                );
                assert!(
                    !has("resources", "*") || has("apiGroups", "infrastructure.cluster.x-k8s.io"),
                    "{provider}: {rule}"
                );
                assert!(
                    !has("resources", "secrets") || !has("verbs", "delete"),
                    "{provider}: {rule}"
                );
            }
        }
    }
}

/// API servers are sent to the Service of the provider whose kind it is, and that leads to its pods only.
#[test]
fn webhooks_lead_to_their_own_provider() {
    for (provider, _) in PROVIDERS {
        let objects = components(provider);
        let [service] = of_kind(&objects, "Service")[..] else {
            panic!("one Service for {provider}")
        };
        let name = text(service, "/metadata/name");
        assert_eq!(name, format!("k0smotron-webhook-service-{provider}"));
        assert_eq!(text(service, "/spec/selector/k0smotron-provider"), provider);
        let mut asked = BTreeSet::new();
        for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
            for webhook in of_kind(&objects, kind)
                .into_iter()
                .flat_map(|object| object["webhooks"].as_array().unwrap())
            {
                assert_eq!(text(webhook, "/clientConfig/service/name"), name, "{provider}");
                asked.insert(text(webhook, "/rules/0/resources/0"));
            }
        }
        for crd in of_kind(&objects, "CustomResourceDefinition") {
            assert!(
                asked.contains(text(crd, "/spec/names/plural")),
                "{provider}: {}",
                text(crd, "/metadata/name")
            );
            if let Some(conversion) = crd.pointer("/spec/conversion/webhook/clientConfig/service/name") {
                assert_eq!(conversion, name, "{provider}");
            }
        }
    }
}

/// What the manager writes by name are the names that are installed.
#[test]
fn roles_name_what_is_installed() {
    for (provider, _) in PROVIDERS {
        let objects = components(provider);
        let roles = of_kind(&objects, "ClusterRole");
        let named = |resource: &str, name: &str| {
            roles
                .iter()
                .flat_map(|role| role["rules"].as_array().unwrap())
                .any(|rule| {
                    let has = |field: &str, value: &str| {
                        rule[field]
                            .as_array()
                            .is_some_and(|items| items.iter().any(|item| item == value))
                    };
                    has("resources", resource) && has("resourceNames", name) && has("verbs", "patch")
                })
        };
        for (kind, resource) in [
            ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
            (
                "ValidatingWebhookConfiguration",
                "validatingwebhookconfigurations",
            ),
            ("CustomResourceDefinition", "customresourcedefinitions"),
            ("CustomResourceDefinition", "customresourcedefinitions/status"),
        ] {
            for object in of_kind(&objects, kind) {
                let name = text(object, "/metadata/name");
                assert!(named(resource, name), "{provider}: {resource} {name}");
            }
        }
        let secret = format!("k0smotron-webhook-server-cert-{provider}");
        assert!(
            of_kind(&objects, "Role")
                .iter()
                .any(|role| role["rules"][0]["resourceNames"][0] == secret.as_str()),
            "{provider}"
        );
    }
}

#[test]
fn webhook_files_are_those_of_the_kinds() {
    for provider in webhooks::Provider::ALL {
        let file = root().join("config").join(provider.name()).join("webhooks.yaml");
        assert_eq!(
            fs::read_to_string(file).unwrap_or_default(),
            webhooks::to_yaml(provider).unwrap(),
            "run `make manifests`"
        );
    }
}

/// clusterctl refuses to install a version whose series is missing, and to upgrade from one (CT7).
#[test]
fn metadata_lists_every_series() {
    let text = fs::read_to_string(root().join("clusterctl-metadata.yaml")).unwrap();
    let metadata: Value = serde_yaml::from_str(&text).unwrap();
    assert_eq!(metadata["apiVersion"], "clusterctl.cluster.x-k8s.io/v1alpha3");
    assert_eq!(metadata["kind"], "Metadata");
    let series: Vec<_> = metadata["releaseSeries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|series| {
            (
                format!("{}.{}", series["major"], series["minor"]),
                series["contract"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let old = ["0.9".to_owned()]
        .into_iter()
        .chain((0..=10).map(|minor| format!("1.{minor}")));
    let new = ["2.0", "2.1", "3.0"].map(str::to_owned);
    let expected: Vec<_> = old
        .map(|name| (name, "v1beta1".to_owned()))
        .chain(new.map(|name| (name, "v1beta2".to_owned())))
        .collect();
    assert_eq!(series, expected);
    assert!(
        env!("CARGO_PKG_VERSION").starts_with("3.0."),
        "the series of this version is not listed"
    );
}

/// References inside a template lead to objects of that template, in the form of the contract.
#[test]
fn templates_are_complete() {
    for (name, expected) in [
        ("cluster-template.yaml", 5),
        ("cluster-template-quickstart.yaml", 5),
        ("cluster-template-hosted-quickstart.yaml", 4),
    ] {
        let text = fs::read_to_string(root().join("templates").join(name)).unwrap();
        let objects: Vec<Value> = serde_yaml::Deserializer::from_str(&text)
            .map(|document| serde::Deserialize::deserialize(document).unwrap())
            .collect();
        let mut references = 0;
        for object in &objects {
            visit(object, &mut |reference| {
                references += 1;
                let found = objects.iter().any(|object| {
                    let group = object["apiVersion"].as_str().unwrap().split('/').next().unwrap();
                    reference["apiGroup"] == group
                        && object["kind"] == reference["kind"]
                        && object["metadata"]["name"] == reference["name"]
                });
                assert!(found, "{name}: {reference} leads nowhere");
            });
        }
        assert_eq!(references, expected, "{name}");
        // Comments are substituted too: a variable that only they name would be asked for.
        for variable in text.lines().filter(|line| line.starts_with('#')) {
            assert!(!variable.contains('$'), "{name}: {variable}");
        }
    }
}

fn visit(value: &Value, found: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if matches!(
                    key.as_str(),
                    "controlPlaneRef" | "infrastructureRef" | "configRef"
                ) {
                    found(value);
                }
                visit(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| visit(item, found)),
        _ => {}
    }
}
