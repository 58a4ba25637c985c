//! The part of a k0s configuration that reaches a running cluster: ClusterConfig `kube-system/k0s` (k0s: "dynamic
//! configuration"). Pure.
//!
//! For: what of a configuration belongs there, and what to change in what is there. Not for: the part that k0s reads from
//! its controllers' file alone, which reaches new controllers only.

use serde_json::{Map, Value};

/// Parts that k0s reads from the file of each controller (`GetClusterWideConfig` of k0s v1.36 leaves them out).
const NODE_LOCAL: [&str; 7] = [
    "/spec/api",
    "/spec/storage",
    "/spec/installConfig",
    "/spec/network/serviceCIDR",
    "/spec/network/clusterDomain",
    "/spec/network/controlPlaneLoadBalancing",
    "/spec/network/primaryAddressFamily",
];

/// What of a configuration holds for the whole cluster: its `spec`.
#[must_use]
pub fn cluster_wide(config: &Value) -> Value {
    let mut config = config.clone();
    for path in NODE_LOCAL {
        let (parent, name) = path.rsplit_once('/').unwrap_or_default();
        if let Some(fields) = config.pointer_mut(parent).and_then(Value::as_object_mut) {
            fields.remove(name);
        }
    }
    match config.get_mut("spec") {
        Some(spec) => spec.take(),
        None => Value::Object(Map::new()),
    }
}

/// The parts that reach new controllers only, by path, as they are written.
pub fn node_local(config: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    NODE_LOCAL
        .into_iter()
        .filter_map(|path| Some((path, config.pointer(path)?)))
}

/// The merge patch (RFC 7386) that brings what was changed between `before` and `wanted` into `live`; none when there is
/// nothing to bring. What nobody changed stays as it is there, whoever wrote it.
#[must_use]
pub fn patch(before: &Value, wanted: &Value, live: &Value) -> Option<Value> {
    let nothing = Map::new();
    let (Value::Object(wanted), Value::Object(live)) = (wanted, live) else {
        return (before != wanted && wanted != live).then(|| wanted.clone());
    };
    let before = before.as_object().unwrap_or(&nothing);
    let mut changes = Map::new();
    for (name, wanted) in wanted {
        let before = before.get(name).unwrap_or(&Value::Null);
        if let Some(change) = patch(before, wanted, live.get(name).unwrap_or(&Value::Null)) {
            changes.insert(name.clone(), change);
        }
    }
    let removed = before
        .keys()
        .filter(|name| !wanted.contains_key(*name) && live.contains_key(*name));
    changes.extend(removed.map(|name| (name.clone(), Value::Null)));
    (!changes.is_empty()).then_some(Value::Object(changes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_controllers_read_from_their_file_is_left_out() {
        let config = json!({
            "kind": "ClusterConfig",
            "spec": {
                "api": {"sans": ["a"]},
                "storage": {"type": "etcd"},
                "network": {"provider": "custom", "serviceCIDR": "10.96.0.0/12", "controlPlaneLoadBalancing": {"enabled": true}},
                "telemetry": {"enabled": false}
            }
        });
        assert_eq!(
            cluster_wide(&config),
            json!({"network": {"provider": "custom"}, "telemetry": {"enabled": false}})
        );
        let left: Vec<_> = node_local(&config).map(|(path, _)| path).collect();
        assert_eq!(
            left,
            [
                "/spec/api",
                "/spec/storage",
                "/spec/network/serviceCIDR",
                "/spec/network/controlPlaneLoadBalancing"
            ]
        );
        assert_eq!(cluster_wide(&json!({})), json!({}));
    }

    #[test]
    fn only_what_was_changed_is_brought_in() {
        let before = json!({"network": {"provider": "calico", "podCIDR": "10.1.0.0/16"}, "telemetry": {"enabled": true}});
        // Somebody has written konnectivity there, and k0s has left out what is a default.
        let live = json!({"network": {"provider": "calico"}, "konnectivity": {"adminPort": 8200}, "telemetry": {"enabled": true}});
        assert_eq!(patch(&before, &before, &live), None);
        let wanted = json!({"network": {"provider": "calico", "podCIDR": "10.2.0.0/16"}});
        assert_eq!(
            patch(&before, &wanted, &live),
            Some(json!({"network": {"podCIDR": "10.2.0.0/16"}, "telemetry": null}))
        );
        let there = json!({"network": {"provider": "calico", "podCIDR": "10.2.0.0/16"}});
        assert_eq!(patch(&before, &wanted, &there), None);
    }

    #[test]
    fn lists_are_brought_in_as_a_whole() {
        let before = json!({"workerProfiles": [{"name": "a"}]});
        let wanted = json!({"workerProfiles": [{"name": "a"}, {"name": "b"}]});
        assert_eq!(patch(&before, &wanted, &before), Some(wanted.clone()));
        assert_eq!(patch(&json!({}), &wanted, &json!({})), Some(wanted));
    }

    /// RFC 7386.
    fn merged(target: &Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else {
            return patch.clone();
        };
        let mut target = target.as_object().cloned().unwrap_or_default();
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                let before = target.get(name).cloned().unwrap_or(Value::Null);
                target.insert(name.clone(), merged(&before, value));
            }
        }
        Value::Object(target)
    }

    fn any_config() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..3).prop_map(Value::from),
            "[ab]{1,2}".prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(3, 24, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 1..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[abc]", value, 0..4)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn what_is_as_it_was_becomes_as_it_is_wanted(before in any_config(), wanted in any_config()) {
            let brought = patch(&before, &wanted, &before).map_or_else(|| before.clone(), |patch| merged(&before, &patch));
            prop_assert_eq!(brought, wanted);
        }

        #[test]
        fn nothing_is_done_twice(before in any_config(), wanted in any_config(), live in any_config()) {
            if let Some(first) = patch(&before, &wanted, &live) {
                prop_assert_eq!(patch(&before, &wanted, &merged(&live, &first)), None);
            }
        }
    }
}
