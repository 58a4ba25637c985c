//! What a tool that edits texts wants to know: which objects are converted here, and where each field goes.

use serde_json::Value;

use super::registry::{self, Kind};
use super::{Version, rules};

/// The version of an object of one of our kinds; `None` for every other object.
#[must_use]
pub fn version_of(object: &Value) -> Option<Version> {
    of(object).map(|(_, version)| version)
}

/// Where the field at `path` of an object is in version `to`, as far as it is renamed: what a rule computes has no place of its own.
/// A path that no rule speaks of stays as it is, also in an object of another kind.
#[must_use]
pub fn moved(object: &Value, path: &[&str], to: Version) -> Vec<String> {
    let renamed = of(object)
        .filter(|(_, from)| *from != to)
        .and_then(|(kind, _)| renamed(kind, path, to));
    renamed.unwrap_or_else(|| path.iter().map(|name| (*name).to_owned()).collect())
}

/// The path by the first rule that speaks of it or of something that it is in.
fn renamed(kind: &Kind, path: &[&str], to: Version) -> Option<Vec<String>> {
    kind.rules.parts.iter().find_map(|(part, rules)| {
        let inside = below(path, part)?;
        rules.moves.iter().find_map(|rule| {
            let (old, new) = match to {
                Version::V1Beta2 => (rule.v1beta1, rule.v1beta2),
                Version::V1Beta1 => (rule.v1beta2, rule.v1beta1),
            };
            let rest = below(inside, old)?;
            let names = part.split('.').chain(new.split('.')).chain(rest.iter().copied());
            Some(names.map(str::to_owned).collect())
        })
    })
}

/// What of a path is below another one, which is written with dots.
fn below<'a, 'b>(path: &'a [&'b str], start: &str) -> Option<&'a [&'b str]> {
    start
        .split('.')
        .try_fold(path, |path, name| match path.split_first() {
            Some((first, rest)) if *first == name => Some(rest),
            _ => None,
        })
}

fn of(object: &Value) -> Option<(&'static Kind, Version)> {
    let object = object.as_object()?;
    let (group, version) = Version::parse(rules::text(object, "apiVersion")?)?;
    Some((registry::kind(group, rules::text(object, "kind")?)?, version))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_go_where_the_rules_say() {
        let config = json!({"apiVersion": "bootstrap.cluster.x-k8s.io/v1beta1", "kind": "K0sWorkerConfig"});
        let moved = |path: &[&str]| moved(&config, path, Version::V1Beta2).join(".");
        assert_eq!(moved(&["spec", "preStartCommands"]), "spec.preK0sCommands");
        assert_eq!(
            moved(&["spec", "ignition", "variant"]),
            "spec.provisioner.ignition.variant"
        );
        assert_eq!(moved(&["spec", "ignitionElse"]), "spec.ignitionElse");
        assert_eq!(moved(&["spec", "version"]), "spec.version");
        assert_eq!(moved(&["metadata", "name"]), "metadata.name");
        // Names with dots in them are one step.
        assert_eq!(
            moved(&["metadata", "annotations", "a.b/c"]),
            "metadata.annotations.a.b/c"
        );
    }

    #[test]
    fn other_objects_stay_as_they_are() {
        let other = json!({"apiVersion": "v1", "kind": "Secret"});
        assert_eq!(version_of(&other), None);
        assert_eq!(
            moved(&other, &["spec", "preStartCommands"], Version::V1Beta2),
            ["spec", "preStartCommands"]
        );
    }
}
