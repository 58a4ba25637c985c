//! The comparison itself.
//!
//! A difference that is none (an unset field against its default, nil against an empty list) must not be seen: it
//! would replace machines for ever. The k0s configuration is left out, because it reaches a running cluster without
//! replacing anything.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k0smotron_k0s::{live_config, version::Version};
use serde_json::{Map, Value};

/// What a Machine was made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Made {
    /// `Machine.spec.version`.
    pub version: Option<String>,
    /// The annotation with the K0sConfigSpec, if it is there and can be read.
    pub config: Option<Value>,
    /// Where that is missing: the parts of the k0s configuration that controllers read from their own file, as the spec had them
    /// when the Machine was first seen.
    pub adopted: Option<BTreeMap<String, Value>>,
    /// Name of the template, from the infrastructure machine's annotation.
    pub template_name: Option<String>,
    /// `<Kind>.<group>` of the template, from the infrastructure machine's annotation.
    pub template_group_kind: Option<String>,
    /// When the Machine was created.
    pub created: Option<Timestamp>,
}

/// What Machines are to be made from now.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub version: Option<Version>,
    /// The completed K0sConfigSpec; null when it cannot be used, which is refused.
    pub config: Value,
    pub template_name: String,
    pub template_group_kind: String,
    /// Machines from before this time are replaced; none while the time has not come.
    pub since: Option<Timestamp>,
}

/// The differences, each in words; none when the Machine is up to date. What a Machine does not tell is no difference.
#[must_use]
pub fn differences(made: &Made, wanted: &Wanted) -> Vec<String> {
    let mut differences = Vec::new();
    if let (Some(have), Some(want)) = (&made.version, &wanted.version) {
        let same = Version::parse_lenient(have).is_ok_and(|have| have.with_default_suffix() == *want);
        if !same {
            differences.push(format!("version is {have}, spec.version asks for {want}"));
        }
    }
    if let Some(config) = &made.config
        && !wanted.config.is_null()
    {
        let (have, want) = (normal(config), normal(&wanted.config));
        let fields: Vec<_> = have
            .keys()
            .chain(want.keys().filter(|key| !have.contains_key(*key)))
            .filter(|key| have.get(*key) != want.get(*key))
            .map(|key| format!("spec.k0sConfigSpec.{key}"))
            .collect();
        if !fields.is_empty() {
            differences.push(format!("{} changed", fields.join(", ")));
        }
    }
    let cloned = [
        (&made.template_name, &wanted.template_name, "name"),
        (&made.template_group_kind, &wanted.template_group_kind, "kind"),
    ];
    for (have, want, what) in cloned {
        if let Some(have) = have
            && have != want
        {
            differences.push(format!(
                "the infrastructure template's {what} is {have}, the spec asks for {want}"
            ));
        }
    }
    if let (Some(created), Some(since)) = (made.created, wanted.since)
        && created < since
    {
        differences.push(format!("it is from before {since}, spec.rollout.after"));
    }
    differences
}

/// Whether the version, or where its binary comes from, is all that differs: k0s changes that itself, on the same host.
#[must_use]
pub fn in_place(made: &Made, wanted: &Wanted) -> bool {
    let without_download = |config: &Value| {
        let mut config = config.clone();
        if let Some(fields) = config.as_object_mut() {
            fields.remove("downloadURL");
        }
        config
    };
    let rest = Made {
        version: None,
        config: made.config.as_ref().map(without_download),
        ..made.clone()
    };
    let asked = Wanted {
        config: without_download(&wanted.config),
        ..wanted.clone()
    };
    !differences(made, wanted).is_empty() && differences(&rest, &asked).is_empty()
}

/// In what the k0s configuration differs that controllers read from their own file: paths in it. That is no reason to
/// replace anything, and nothing brings it to those that run.
#[must_use]
pub fn node_local_differences(made: &Made, wanted: &Wanted) -> Vec<String> {
    let made = made
        .config
        .as_ref()
        .map(node_local)
        .or_else(|| made.adopted.clone());
    let Some(have) = made.filter(|_| !wanted.config.is_null()) else {
        return Vec::new();
    };
    let want = node_local(&wanted.config);
    let paths: BTreeSet<_> = have.keys().chain(want.keys()).collect();
    let differs = |path: &&String| have.get(*path) != want.get(*path);
    paths.into_iter().filter(differs).cloned().collect()
}

/// The parts of a K0sConfigSpec's k0s configuration that controllers read from their own file, by path in it.
#[must_use]
pub fn node_local(config: &Value) -> BTreeMap<String, Value> {
    let k0s = config.get("k0s").map(pruned).unwrap_or_default();
    live_config::node_local(&k0s)
        .filter(|(_, value)| !is_nothing(value))
        .map(|(path, value)| (path.trim_start_matches('/').replace('/', "."), value.clone()))
        .collect()
}

/// The configuration with every field that says nothing, or says its default, left out.
fn normal(config: &Value) -> Map<String, Value> {
    let defaults = [
        ("/k0sInstallDir", Value::from("/usr/local/bin")),
        ("/downloadURL", Value::from("https://get.k0s.sh")),
        ("/provisioner/type", Value::from("cloud-config")),
        ("/provisioner/platform", Value::from("linux")),
        ("/tunneling/serverNodePort", Value::from(31700)),
        ("/tunneling/tunnelingNodePort", Value::from(31443)),
        ("/tunneling/mode", Value::from("tunnel")),
    ];
    let mut config = config.clone();
    for (path, default) in defaults {
        if let Some(value) = config.pointer_mut(path)
            && *value == default
        {
            *value = Value::Null;
        }
    }
    if let Some(fields) = config.as_object_mut() {
        // Applied live. Labels of a Secret are no part of the machine either.
        fields.remove("k0s");
        fields.remove("secretMetadata");
    }
    match pruned(&config) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The value without what says nothing.
fn pruned(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), pruned(value)))
                .filter(|(_, value)| !is_nothing(value))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(pruned).collect()),
        other => other.clone(),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn wanted(config: Value) -> Wanted {
        Wanted {
            version: Some("v1.36.3+k0s.2".parse().unwrap()),
            config,
            template_name: "controllers".to_owned(),
            template_group_kind: "RemoteMachineTemplate.infrastructure.cluster.x-k8s.io".to_owned(),
            since: None,
        }
    }

    fn made(config: Value) -> Made {
        let wanted = wanted(config);
        Made {
            version: Some("v1.36.3+k0s.2".to_owned()),
            config: Some(wanted.config),
            adopted: None,
            template_name: Some(wanted.template_name),
            template_group_kind: Some(wanted.template_group_kind),
            created: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        }
    }

    #[test]
    fn what_says_the_same_is_no_difference() {
        let same = [
            (
                json!({}),
                json!({ "args": [], "files": [], "preInstalledK0s": false }),
            ),
            (json!({ "provisioner": {}, "tunneling": {} }), json!({})),
            (
                json!({ "k0sInstallDir": "/usr/local/bin" }),
                json!({ "downloadURL": "https://get.k0s.sh" }),
            ),
            (
                json!({ "provisioner": { "type": "cloud-config", "platform": "linux" } }),
                json!({}),
            ),
            (
                json!({ "k0s": { "spec": { "api": {} } } }),
                json!({ "k0s": { "spec": { "network": {} } } }),
            ),
            (
                json!({ "args": ["--debug"], "workingDir": "" }),
                json!({ "args": ["--debug"] }),
            ),
        ];
        for (have, want) in same {
            assert_eq!(
                differences(&made(have.clone()), &wanted(want.clone())),
                [""; 0],
                "{have} {want}"
            );
        }
    }

    #[test]
    fn what_differs_is_named() {
        let changed = differences(&made(json!({})), &wanted(json!({ "args": ["--debug"] })));
        assert_eq!(changed, ["spec.k0sConfigSpec.args changed"]);

        let mut older = made(json!({}));
        older.version = Some("v1.36.2+k0s.0".to_owned());
        older.template_name = Some("old".to_owned());
        assert_eq!(
            differences(&older, &wanted(json!({}))),
            [
                "version is v1.36.2+k0s.0, spec.version asks for v1.36.3+k0s.2",
                "the infrastructure template's name is old, the spec asks for controllers"
            ]
        );
    }

    #[test]
    fn a_version_and_where_it_comes_from_change_in_place_and_nothing_else() {
        let mut older = made(json!({ "downloadURL": "https://mirror/1/k0s", "args": ["--debug"] }));
        older.version = Some("v1.36.2+k0s.0".to_owned());
        let want = |config| wanted(config);
        let moved = json!({ "downloadURL": "https://mirror/2/k0s", "args": ["--debug"] });
        assert!(in_place(&older, &want(moved)));
        let more = json!({ "downloadURL": "https://mirror/2/k0s", "args": [] });
        assert!(!in_place(&older, &want(more)));
        let same = json!({ "args": ["--debug"] });
        assert!(!in_place(&made(same.clone()), &want(same)), "nothing differs");
    }

    #[test]
    fn a_missing_suffix_is_the_default_one() {
        let mut want = wanted(json!({}));
        want.version = Some("v1.36.3+k0s.0".parse().unwrap());
        let mut have = made(json!({}));
        have.version = Some("v1.36.3".to_owned());
        assert_eq!(differences(&have, &want), [""; 0]);
    }

    #[test]
    fn a_machine_of_others_that_tells_nothing_is_left_as_it_is() {
        assert_eq!(
            differences(&Made::default(), &wanted(json!({ "args": ["x"] }))),
            [""; 0]
        );
    }

    #[test]
    fn machines_from_before_the_rollout_differ() {
        let rollout = |since: &str| Wanted {
            since: Some(since.parse().unwrap()),
            ..wanted(json!({}))
        };
        let old = made(json!({}));
        assert_eq!(differences(&old, &rollout("2026-01-01T00:00:00Z")), [""; 0]);
        assert_eq!(
            differences(&old, &rollout("2026-01-01T00:00:01Z")),
            ["it is from before 2026-01-01T00:00:01Z, spec.rollout.after"]
        );
    }

    #[test]
    fn what_controllers_read_from_their_file_is_told_apart() {
        let config = |sans: &str, provider: &str| json!({ "k0s": { "spec": { "api": { "sans": [sans], "port": null }, "network": { "provider": provider } } } });
        let differences = |have, want| node_local_differences(&made(have), &wanted(want));
        assert_eq!(
            differences(config("a", "calico"), config("b", "calico")),
            ["spec.api"]
        );
        assert_eq!(differences(config("a", "calico"), config("a", "custom")), [""; 0]);
        assert_eq!(differences(config("a", "calico"), Value::Null), [""; 0]);
        assert_eq!(differences(json!({ "k0s": {} }), json!({})), [""; 0]);
        // A Machine that was set up by somebody else is held to what was asked for when it was first seen.
        let adopted = Made {
            adopted: Some(node_local(&config("a", "calico"))),
            ..Made::default()
        };
        let since = |want| node_local_differences(&adopted, &wanted(want));
        assert_eq!(since(config("a", "custom")), [""; 0]);
        assert_eq!(since(config("b", "calico")), ["spec.api"]);
        assert_eq!(since(json!({})), ["spec.api"]);
        assert_eq!(
            node_local_differences(&Made::default(), &wanted(config("a", "calico"))),
            [""; 0]
        );
    }

    proptest! {
        #[test]
        fn the_order_of_keys_and_empty_fields_never_matter(args in prop::collection::vec("[a-z-]{1,8}", 0..4)) {
            let have = json!({ "args": args, "files": [] });
            let want = json!({ "preK0sCommands": [], "args": args });
            prop_assert_eq!(differences(&made(have), &wanted(want)), Vec::<String>::new());
        }
    }
}
