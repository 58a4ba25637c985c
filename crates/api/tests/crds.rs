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

/// Who asks by these names, or reads these columns, finds what the original has; more columns are at v1beta2.
#[test]
fn names_and_columns_are_the_originals() {
    const PLANE: &str = "Cluster,API Server Available,Desired,Replicas,Ready,Updated,Unavailable,Age,Version";
    const PLANE_NOW: &str = "Cluster,Desired,Replicas,Ready,UpToDate,Available,Age,Version";
    const HOST: &str = "Address,Reserved,Remote Machine";
    // Kind, short name, whether v1beta1 is marked as deprecated, whether it scales, columns of v1beta1 and of v1beta2.
    let table = [
        ("Cluster", "kmc", true, true, "", ""),
        ("JoinTokenRequest", "jtr", true, false, "", ""),
        ("K0sControlPlane", "", false, true, PLANE, PLANE_NOW),
        ("K0sControlPlaneTemplate", "", false, false, "", ""),
        ("K0sControllerConfig", "", true, false, "", ""),
        ("K0sWorkerConfig", "", true, false, "", ""),
        ("K0sWorkerConfigTemplate", "", true, false, "", ""),
        ("K0smotronControlPlane", "", false, true, PLANE, PLANE_NOW),
        ("K0smotronControlPlaneTemplate", "", false, false, "", ""),
        ("PooledRemoteMachine", "", true, false, HOST, HOST),
        ("RemoteCluster", "", true, false, "", ""),
        ("RemoteClusterTemplate", "", true, false, "", ""),
        ("RemoteMachine", "", true, false, "", ""),
        ("RemoteMachineTemplate", "", true, false, "", ""),
    ];
    let mut crds = crds();
    crds.sort_by_key(|crd| crd.spec.names.kind.clone());
    assert_eq!(crds.len(), table.len());
    for (crd, (kind, short, deprecated, scales, v1beta1, v1beta2)) in crds.into_iter().zip(table) {
        let names = crd.spec.names;
        assert_eq!(names.kind, kind);
        assert_eq!(names.plural, format!("{}s", kind.to_lowercase()));
        assert_eq!(names.short_names.unwrap_or_default().join(","), short, "{kind}");
        let [old, new] = &crd.spec.versions[..] else {
            panic!("{kind} has other versions")
        };
        assert_eq!(
            (old.name.as_str(), new.name.as_str()),
            ("v1beta1", "v1beta2"),
            "{kind}"
        );
        assert!(old.served && new.served && new.storage && !old.storage, "{kind}");
        assert_eq!(old.deprecated.unwrap_or_default(), deprecated, "{kind}");
        for (version, wanted) in [(old, v1beta1), (new, v1beta2)] {
            let scale = version
                .subresources
                .as_ref()
                .and_then(|found| found.scale.as_ref());
            assert_eq!(scale.is_some(), scales, "{kind}");
            let columns = version.additional_printer_columns.iter().flatten();
            let columns: Vec<_> = columns.map(|column| column.name.as_str()).collect();
            for column in wanted.split(',').filter(|column| !column.is_empty()) {
                assert!(columns.contains(&column), "{kind} {}: {columns:?}", version.name);
            }
        }
    }
}

/// Contract C12: Cluster API copies the template and applies it, and what the kind does not have would be refused.
#[test]
fn what_templates_say_exists_in_what_is_made_from_them() {
    fn spec(kind: &str) -> JSONSchemaProps {
        let mut crd = crds()
            .into_iter()
            .find(|crd| crd.spec.names.kind == kind)
            .unwrap();
        let schema = crd.spec.versions.swap_remove(1).schema.unwrap();
        property(schema.open_api_v3_schema.unwrap(), "spec")
    }
    fn property(schema: JSONSchemaProps, name: &str) -> JSONSchemaProps {
        schema.properties.unwrap().remove(name).unwrap()
    }
    fn assert_within(template: &JSONSchemaProps, made: &JSONSchemaProps, path: &str) {
        if made.x_kubernetes_preserve_unknown_fields == Some(true) {
            return;
        }
        for (name, field) in template.properties.iter().flatten() {
            let path = format!("{path}.{name}");
            let found = made.properties.as_ref().and_then(|fields| fields.get(name));
            assert_within(
                field,
                found.unwrap_or_else(|| panic!("{path} is in the template only")),
                &path,
            );
        }
        if let (Some(JSONSchemaPropsOrArray::Schema(template)), Some(JSONSchemaPropsOrArray::Schema(made))) =
            (&template.items, &made.items)
        {
            assert_within(template, made, &format!("{path}[]"));
        }
    }
    for kind in [
        "K0sControlPlane",
        "K0smotronControlPlane",
        "K0sWorkerConfig",
        "RemoteCluster",
        "RemoteMachine",
    ] {
        let template = property(property(spec(&format!("{kind}Template")), "template"), "spec");
        assert_within(&template, &spec(kind), kind);
    }
}

/// Server-side apply merges these item by item, so that two tools can write to one list.
#[test]
fn lists_that_tools_merge_have_keys() {
    let crd = crds()
        .into_iter()
        .find(|crd| crd.spec.group == "k0smotron.io" && crd.spec.names.kind == "Cluster")
        .unwrap();
    let schema = crd.spec.versions[1]
        .schema
        .clone()
        .unwrap()
        .open_api_v3_schema
        .unwrap();
    let spec = schema
        .properties
        .unwrap()
        .remove("spec")
        .unwrap()
        .properties
        .unwrap();
    let table: [(&str, &[&str]); 3] = [
        ("manifests", &["name"]),
        ("mounts", &["path"]),
        ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ];
    for (field, keys) in table {
        assert_eq!(
            spec[field].x_kubernetes_list_type.as_deref(),
            Some("map"),
            "{field}"
        );
        let found = spec[field].x_kubernetes_list_map_keys.clone().unwrap_or_default();
        assert_eq!(found, keys, "{field}");
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
