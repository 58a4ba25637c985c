//! How the fields of two versions correspond: the language in which the rules of each kind are written.
//!
//! A rule never fails: where a value does not have the shape that it speaks of, it leaves everything as it is. What a rule cannot carry
//! over is found by comparing, see [`super::lost`], so that rules need not be complete.

use serde_json::Value;

use super::Version;

/// An object of JSON.
pub(super) type Object = serde_json::Map<String, Value>;

/// The rules of a kind.
#[derive(Debug)]
pub(super) struct KindRules {
    pub(super) group: &'static str,
    pub(super) kind: &'static str,
    /// Which places of an object follow which rules.
    pub(super) parts: &'static [(&'static str, &'static Rules)],
    /// Annotations that rules read or write.
    pub(super) annotations: &'static [&'static str],
}

/// The rules of one place of an object, usually the spec or the status. All paths are relative to it, with dots between names.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) moves: &'static [Move],
    /// For a manager that owns the first field at v1beta1, and so the second at v1beta2, although it is not moved but computed.
    pub(super) computed: &'static [(&'static str, &'static str)],
    /// Takes over what earlier releases left behind; runs first, on the version that is converted from.
    pub(super) adopt: fn(&mut Part<'_>, Version),
    /// After the moves to v1beta2.
    pub(super) up: fn(&mut Part<'_>),
    /// After the moves to v1beta1.
    pub(super) down: fn(&mut Part<'_>),
}

/// The same value under two names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) v1beta1: &'static str,
    pub(super) v1beta2: &'static str,
    /// Whether v1beta1 can say it, judged by the v1beta2 part.
    down_if: fn(&Object) -> bool,
}

impl Move {
    pub(super) const fn new(v1beta1: &'static str, v1beta2: &'static str) -> Self {
        Self {
            v1beta1,
            v1beta2,
            down_if: |_| true,
        }
    }

    /// Goes down only if the v1beta2 part fulfils a condition.
    pub(super) const fn down_if(self, condition: fn(&Object) -> bool) -> Self {
        Self {
            down_if: condition,
            ..self
        }
    }

    fn apply(&self, object: &mut Object, to: Version) {
        let (from, to) = match to {
            Version::V1Beta2 => (self.v1beta1, self.v1beta2),
            Version::V1Beta1 if (self.down_if)(object) => (self.v1beta2, self.v1beta1),
            Version::V1Beta1 => return,
        };
        if get(object, to).is_none()
            && let Some(value) = take(object, from)
            && let Err(value) = set(object, to, value)
        {
            // The way is blocked by a value of another type. Its old place is free, as it was taken from there.
            let _ = set(object, from, value);
        }
    }
}

/// A place of an object while it is converted.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) object: &'a mut Object,
    /// Those of the object's annotations that the kind's rules name.
    pub(super) annotations: &'a mut Object,
}

impl Rules {
    /// No difference between the versions, but for fields that only one of them has.
    pub(super) const NONE: Self = Self {
        moves: &[],
        computed: &[],
        adopt: |_, _| (),
        up: |_| (),
        down: |_| (),
    };
}

impl KindRules {
    pub(super) const NONE: Self = Self {
        group: "",
        kind: "",
        parts: &[],
        annotations: &[],
    };

    /// Takes over what earlier releases left behind in an object of a version.
    pub(super) fn adopt(&self, content: &mut Object, annotations: &mut Object, version: Version) {
        self.each_part(content, annotations, |rules, mut part| {
            (rules.adopt)(&mut part, version);
        });
    }

    /// Renames and computes; fields that the target does not have are left where they are.
    pub(super) fn apply(&self, content: &mut Object, annotations: &mut Object, to: Version) {
        self.each_part(content, annotations, |rules, mut part| {
            for rule in rules.moves {
                rule.apply(part.object, to);
            }
            match to {
                Version::V1Beta1 => (rules.down)(&mut part),
                Version::V1Beta2 => (rules.up)(&mut part),
            }
        });
    }

    fn each_part(&self, content: &mut Object, annotations: &mut Object, apply: impl Fn(&Rules, Part<'_>)) {
        for (path, rules) in self.parts {
            if let Some(object) = object_at(content, path) {
                apply(rules, Part { object, annotations });
            }
        }
    }
}

/// The value at a path.
pub(super) fn get<'a>(object: &'a Object, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        Some((name, rest)) => get(object.get(name)?.as_object()?, rest),
        None => object.get(path),
    }
}

/// The text at a path.
pub(super) fn text<'a>(object: &'a Object, path: &str) -> Option<&'a str> {
    get(object, path)?.as_str()
}

/// Takes the value at a path out. Objects above it stay, even if nothing is left in them.
pub(super) fn take(object: &mut Object, path: &str) -> Option<Value> {
    match path.split_once('.') {
        Some((name, rest)) => take(object.get_mut(name)?.as_object_mut()?, rest),
        None => object.remove(path),
    }
}

/// Writes the value at a path, and makes the objects above it.
///
/// # Errors
/// Gives the value back when something above it is not an object.
pub(super) fn set(object: &mut Object, path: &str, value: Value) -> Result<(), Value> {
    let Some((name, rest)) = path.split_once('.') else {
        object.insert(path.to_owned(), value);
        return Ok(());
    };
    match object.entry(name).or_insert_with(|| Value::Object(Object::new())) {
        Value::Object(inner) => set(inner, rest, value),
        _ => Err(value),
    }
}

fn object_at<'a>(object: &'a mut Object, path: &str) -> Option<&'a mut Object> {
    match path.split_once('.') {
        Some((name, rest)) => object_at(object.get_mut(name)?.as_object_mut()?, rest),
        None => object.get_mut(path)?.as_object_mut(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn moved(object: Value, to: Version) -> Value {
        let Value::Object(mut object) = object else {
            panic!("not an object")
        };
        Move::new("etcd", "storage.etcd")
            .down_if(|part| text(part, "storage.type") == Some("etcd"))
            .apply(&mut object, to);
        object.into()
    }

    #[test]
    fn values_move_both_ways() {
        assert_eq!(
            moved(json!({"etcd": [1]}), Version::V1Beta2),
            json!({"storage": {"etcd": [1]}})
        );
        assert_eq!(
            moved(json!({"storage": {"etcd": 1, "type": "etcd"}}), Version::V1Beta1),
            json!({"etcd": 1, "storage": {"type": "etcd"}})
        );
    }

    #[test]
    fn what_does_not_fit_stays() {
        for (object, to) in [
            (json!({"storage": {"etcd": 1, "type": "kine"}}), Version::V1Beta1),
            (json!({"storage": "odd", "etcd": 1}), Version::V1Beta2),
            (json!({"storage": {"etcd": 2}, "etcd": 1}), Version::V1Beta2),
            (json!({"storage": ["etcd"]}), Version::V1Beta1),
            (json!({}), Version::V1Beta2),
        ] {
            assert_eq!(moved(object.clone(), to), object);
        }
    }
}
