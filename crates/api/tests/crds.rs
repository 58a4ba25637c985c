//! The definitions that are installed: the files are those of the types, small, and as the contract wants them.

// clippy.toml allows these in test functions; the functions that they call are meant too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeSet, fs, path::PathBuf};

use k0smotron_api::{crds, schema};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

const KIB: usize = 1024;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../config/crd")
}

#[test]
fn files_are_those_of_the_types() {
    const REMEDY: &str = "run `make manifests` (cargo run -p k0smotron-api --example crdgen)";
    let mut names = BTreeSet::new();
    for crd in crds() {
        let name = schema::file_name(&crd);
        let text = fs::read_to_string(directory().join(&name)).unwrap_or_default();
        // Not assert_eq: two whole definitions on the terminal help nobody.
        assert!(
            text == schema::to_yaml(&crd).unwrap(),
            "config/crd/{name} is out of date; {REMEDY}"
        );
        names.insert(name);
    }
    let mut listed: BTreeSet<_> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(listed.remove("kustomization.yaml"));
    assert_eq!(
        listed, names,
        "config/crd holds files of kinds that are gone, or lacks some; {REMEDY}"
    );
    let kustomization = fs::read_to_string(directory().join("kustomization.yaml")).unwrap();
    let resources: BTreeSet<_> = kustomization
        .lines()
        .filter_map(|line| line.strip_prefix("- "))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        resources, names,
        "config/crd/kustomization.yaml has to list every definition"
    );
}

/// `kubectl apply` keeps the whole object in an annotation, of which 256 KiB fit.
#[test]
fn definitions_are_small() {
    let sizes: Vec<_> = crds()
        .iter()
        .map(|crd| serde_json::to_string(crd).unwrap().len())
        .collect();
    assert!(sizes.iter().all(|size| *size < 256 * KIB), "{sizes:?}");
    assert!(sizes.iter().sum::<usize>() < 1024 * KIB, "{sizes:?}");
}

/// Contract G1, G2, G5, G7, G14.
#[test]
fn definitions_follow_the_contract() {
    for crd in crds() {
        let name = crd.metadata.name.unwrap();
        let labels = crd.metadata.labels.unwrap();
        assert_eq!(crd.spec.scope, "Namespaced", "{name}");
        assert_eq!(name, format!("{}.{}", crd.spec.names.plural, crd.spec.group));
        let served: Vec<_> = crd
            .spec
            .versions
            .iter()
            .filter(|version| version.served)
            .map(|version| version.name.as_str())
            .collect();
        // Cluster API reads nothing of group k0smotron.io.
        if crd.spec.group.ends_with("cluster.x-k8s.io") {
            assert!(
                labels["cluster.x-k8s.io/v1beta2"]
                    .split('_')
                    .all(|version| served.contains(&version)),
                "{name}"
            );
        }
        assert!(
            labels["cluster.x-k8s.io/provider"].ends_with("-k0smotron"),
            "{name}"
        );
        for version in crd.spec.versions {
            let schema = version.schema.unwrap().open_api_v3_schema.unwrap();
            let Some(status) = schema.properties.unwrap().remove("status") else {
                continue;
            };
            assert!(version.subresources.unwrap().status.is_some(), "{name}");
            if !version.storage {
                continue;
            }
            let fields = status.properties.unwrap();
            assert!(fields.contains_key("observedGeneration"), "{name}");
            let conditions = &fields["conditions"];
            assert_eq!(
                conditions.x_kubernetes_list_type.as_deref(),
                Some("map"),
                "{name}"
            );
            assert_eq!(
                conditions.x_kubernetes_list_map_keys,
                Some(vec!["type".to_owned()]),
                "{name}"
            );
        }
    }
}

/// clusterctl takes pool entries along although nothing owns them (CT24).
#[test]
fn pool_entries_are_moved() {
    let crd = crds()
        .into_iter()
        .find(|crd| crd.spec.names.kind == "PooledRemoteMachine")
        .unwrap();
    assert_eq!(
        crd.metadata.labels.unwrap()["clusterctl.cluster.x-k8s.io/move"],
        ""
    );
}

#[test]
fn control_planes_scale() {
    let crd = crds()
        .into_iter()
        .find(|crd| crd.spec.names.kind == "K0sControlPlane")
        .unwrap();
    for version in crd.spec.versions {
        let scale = version.subresources.unwrap().scale.unwrap();
        assert_eq!(scale.spec_replicas_path, ".spec.replicas");
        assert_eq!(scale.status_replicas_path, ".status.replicas");
        assert_eq!(scale.label_selector_path.as_deref(), Some(".status.selector"));
    }
}

/// `kubectl explain` has a sentence for every field, no field is nullable, and what is required has no default.
#[test]
fn schemas_are_tidy() {
    for crd in crds() {
        for version in crd.spec.versions {
            let schema = version.schema.unwrap().open_api_v3_schema.unwrap();
            check(&schema, &crd.spec.names.kind);
        }
    }
}

/// Whether a description says more than the name of its field.
fn helps(name: &str, description: &str) -> bool {
    let letters = |text: &str| {
        let letters = text.chars().filter(|character| character.is_alphanumeric());
        letters.collect::<String>().to_lowercase()
    };
    let words = description.split_whitespace().count();
    words > 2 && description.ends_with('.') && letters(description) != letters(name)
}

fn check(schema: &JSONSchemaProps, path: &str) {
    assert_eq!(schema.nullable, None, "{path} is nullable");
    if schema.type_.as_deref() == Some("string")
        && let Some(values) = &schema.enum_
    {
        assert!(
            values.iter().all(|value| value.0.is_string()),
            "{path} allows something else than strings"
        );
    }
    for (name, property) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        let description = property.description.as_deref().unwrap_or_default();
        assert!(helps(name, description), "{path} is described by {description:?}");
        let required = schema.required.iter().flatten().any(|field| field == name);
        assert!(
            !required || property.default.is_none(),
            "{path} is required and has a default"
        );
        check(property, &path);
    }
    for name in schema.required.iter().flatten() {
        let known = schema
            .properties
            .as_ref()
            .is_some_and(|properties| properties.contains_key(name));
        assert!(known, "{path} requires {name}, which it does not have");
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        check(items, &format!("{path}[]"));
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
        check(values, &format!("{path}.*"));
    }
}
