//! What a version cannot say: found by comparing, kept as operations, put back.
//!
//! An operation holds a place, the value that belongs there, and the value that stands there if the object is converted without it. On
//! the way back it is carried out only where that value is still found: whoever edited the object through the other version has the last
//! word. Operations never cross an edit of something above them either: what lay in an object that was removed stays removed.
//!
//! Elements of lists are found again by their index if they are as they were, else wherever an element is as it was, else by their name.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::rules::Object;

/// What is kept in the annotation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Lost {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) operations: Vec<Operation>,
    /// The status that the operations on it belong to, in the version that carries the annotation. A status is computed anew again and
    /// again, and parts of an old one would look valid whenever the values around them return.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) status: Option<Value>,
    /// There was more than fits into annotations, and the rest of this is empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) omitted: bool,
}

/// One lost value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Operation {
    pub(super) path: Vec<Segment>,
    /// Witness of what stands there without this operation; absent if nothing does.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) was: Option<Value>,
    /// What belongs there; absent if nothing does.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(super) value: Option<Value>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Segment {
    Field(String),
    Element {
        index: usize,
        /// Witness of the element.
        is: Value,
        /// Field and value by which people tell the elements apart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<(String, String)>,
    },
}

/// `null` is a value here, not the absence of one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Lost {
    /// What has to be done to `plain` to make it `wanted`.
    pub(super) fn between(plain: &Object, wanted: &Object) -> Self {
        let mut lost = Self::default();
        compare_objects(plain, wanted, &mut Vec::new(), &mut lost.operations);
        lost
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an operation concerns the status.
    pub(super) fn concerns_status(&self) -> bool {
        self.operations.iter().any(Operation::concerns_status)
    }

    /// Forgets the operations on the status unless it still is the one they belong to.
    pub(super) fn check_status(&mut self, status: Option<&Value>) {
        if let Some(expected) = &self.status
            && status.map_or(Value::Null, witness) != *expected
        {
            self.operations.retain(|operation| !operation.concerns_status());
        }
    }

    /// Carries out every operation whose place is as it was.
    pub(super) fn restore(&self, plain: &mut Object) {
        // All places are looked up before anything changes, because the elements of lists are recognised by what they hold.
        let mut found = Elements::default();
        let places: Vec<_> = self
            .operations
            .iter()
            .map(|operation| operation.find(plain, &mut found))
            .collect();
        for (operation, place) in self.operations.iter().zip(places) {
            if let Some(place) = place {
                put(plain, &place, operation.value.as_ref());
            }
        }
    }
}

/// A value, or for a long one what it is recognised by.
pub(super) fn witness(value: &Value) -> Value {
    const LONG: usize = 64;
    match value {
        Value::Object(_) | Value::Array(_) => json!({"fnv1a": fingerprint(value)}),
        Value::String(text) if text.len() > LONG => json!({"fnv1a": fingerprint(value)}),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// The same in every release and for every order of keys. Not a defence against somebody who looks for collisions: who can write the
/// annotation can write the object too.
fn fingerprint(value: &Value) -> String {
    format!("{:016x}", hash(value))
}

fn hash(value: &Value) -> u64 {
    // FNV-1a, 64 bits.
    fn feed(state: u64, bytes: &[u8]) -> u64 {
        bytes.iter().fold(state, |state, byte| {
            (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
    const START: u64 = 0xcbf2_9ce4_8422_2325;
    match value {
        Value::Null => feed(START, b"n"),
        Value::Bool(value) => feed(START, if *value { b"t" } else { b"f" }),
        Value::Number(number) => feed(feed(START, b"#"), number.to_string().as_bytes()),
        Value::String(text) => feed(feed(START, b"\""), text.as_bytes()),
        Value::Array(items) => items.iter().fold(feed(START, b"["), |state, item| {
            feed(state, &hash(item).to_le_bytes())
        }),
        Value::Object(object) => {
            let entries = object.iter().map(|(name, value)| {
                let name = feed(feed(START, name.as_bytes()), b":");
                feed(name, &hash(value).to_le_bytes())
            });
            let sum = entries.fold(0, u64::wrapping_add);
            feed(feed(START, b"{"), &sum.to_le_bytes())
        }
    }
}

fn compare_objects(
    plain: &Object,
    wanted: &Object,
    path: &mut Vec<Segment>,
    operations: &mut Vec<Operation>,
) {
    for (name, value) in wanted {
        compare_field(name, plain.get(name), Some(value), path, operations);
    }
    for (name, value) in plain {
        if !wanted.contains_key(name) {
            compare_field(name, Some(value), None, path, operations);
        }
    }
}

fn compare_field(
    name: &str,
    plain: Option<&Value>,
    wanted: Option<&Value>,
    path: &mut Vec<Segment>,
    operations: &mut Vec<Operation>,
) {
    if plain != wanted {
        path.push(Segment::Field(name.to_owned()));
        compare(plain, wanted, path, operations);
        path.pop();
    }
}

/// The two are known to differ.
fn compare(
    plain: Option<&Value>,
    wanted: Option<&Value>,
    path: &mut Vec<Segment>,
    operations: &mut Vec<Operation>,
) {
    match (plain, wanted) {
        (Some(Value::Object(plain)), Some(Value::Object(wanted))) => {
            compare_objects(plain, wanted, path, operations);
        }
        (Some(Value::Array(plain)), Some(Value::Array(wanted))) if plain.len() == wanted.len() => {
            let pairs = plain.iter().zip(wanted).enumerate();
            for (index, (plain, wanted)) in pairs.filter(|(_, (plain, wanted))| plain != wanted) {
                path.push(Segment::Element {
                    index,
                    is: witness(plain),
                    key: key(plain),
                });
                compare(Some(plain), Some(wanted), path, operations);
                path.pop();
            }
        }
        _ => operations.push(Operation {
            path: path.clone(),
            was: plain.map(witness),
            value: wanted.cloned(),
        }),
    }
}

/// What people tell the elements of a list apart by.
fn key(element: &Value) -> Option<(String, String)> {
    ["name", "path", "type"].into_iter().find_map(|field| {
        let value = element.get(field)?.as_str()?;
        Some((field.to_owned(), value.to_owned()))
    })
}

/// One step to a value that exists, or to a field that may not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step<'a> {
    Field(&'a str),
    Index(usize),
}

/// Where elements of lists were found, so that no two are taken for the same one: list and former index, and the index now.
type Elements<'a> = BTreeMap<Vec<Step<'a>>, BTreeMap<usize, usize>>;

impl Operation {
    fn concerns_status(&self) -> bool {
        self.path.first() == Some(&Segment::Field("status".to_owned()))
    }

    /// The place of this operation, if it is as it was.
    fn find<'a>(&'a self, plain: &Object, found: &mut Elements<'a>) -> Option<Vec<Step<'a>>> {
        let (last, above) = self.path.split_last()?;
        let mut place = Vec::with_capacity(self.path.len());
        let mut above = above.iter();
        let Some(Segment::Field(first)) = above.next() else {
            // Lost as a whole, such as the spec: the only path of one segment.
            let Segment::Field(name) = last else { return None };
            return (!is_identity(name) && plain.get(name).map(witness) == self.was)
                .then(|| vec![Step::Field(name)]);
        };
        let mut parent = plain.get(first)?;
        place.push(Step::Field(first));
        for segment in above {
            parent = descend(parent, segment, &mut place, found)?;
        }
        match last {
            Segment::Field(name) => {
                let parent = parent.as_object()?;
                place.push(Step::Field(name));
                (parent.get(name).map(witness) == self.was).then_some(place)
            }
            Segment::Element { .. } => {
                let element = descend(parent, last, &mut place, found)?;
                (self.value.is_some() && Some(witness(element)) == self.was).then_some(place)
            }
        }
    }
}

/// What says which object it is, and is never lost.
fn is_identity(name: &str) -> bool {
    ["apiVersion", "kind", "metadata"].contains(&name)
}

fn descend<'a, 'v>(
    parent: &'v Value,
    segment: &'a Segment,
    place: &mut Vec<Step<'a>>,
    found: &mut Elements<'a>,
) -> Option<&'v Value> {
    match segment {
        Segment::Field(name) => {
            let value = parent.as_object()?.get(name)?;
            place.push(Step::Field(name));
            Some(value)
        }
        Segment::Element { index, is, key } => {
            let items = parent.as_array()?;
            let taken = found.entry(place.clone()).or_default();
            let now = match taken.get(index) {
                Some(now) => *now,
                None => {
                    let now = locate(items, *index, is, key.as_ref(), taken)?;
                    taken.insert(*index, now);
                    now
                }
            };
            place.push(Step::Index(now));
            items.get(now)
        }
    }
}

fn locate(
    items: &[Value],
    index: usize,
    is: &Value,
    key: Option<&(String, String)>,
    taken: &BTreeMap<usize, usize>,
) -> Option<usize> {
    let free = |index: &usize| !taken.values().any(|other| other == index);
    if free(&index) && items.get(index).is_some_and(|item| witness(item) == *is) {
        return Some(index);
    }
    let same = |item: &Value| witness(item) == *is;
    let unchanged = (0..).zip(items).filter(|(_, item)| same(item));
    if let Some(now) = unchanged.map(|(now, _)| now).find(free) {
        return Some(now);
    }
    let (field, value) = key?;
    let named = |item: &Value| item.get(field).and_then(Value::as_str) == Some(value);
    let mut candidates = (0..).zip(items).filter(|(_, item)| named(item));
    match (candidates.next(), candidates.next()) {
        (Some((now, _)), None) if free(&now) => Some(now),
        // Two of the same name: better lost than given to the wrong one.
        _ => None,
    }
}

fn put(object: &mut Object, place: &[Step<'_>], value: Option<&Value>) {
    let Some((Step::Field(first), rest)) = place.split_first() else {
        return;
    };
    let Some((last, above)) = rest.split_last() else {
        put_field(object, first, value);
        return;
    };
    let mut parent = object.get_mut(*first);
    for step in above {
        parent = match (parent, step) {
            (Some(Value::Object(object)), Step::Field(name)) => object.get_mut(*name),
            (Some(Value::Array(items)), Step::Index(index)) => items.get_mut(*index),
            _ => None,
        };
    }
    match (parent, last) {
        (Some(Value::Object(object)), Step::Field(name)) => put_field(object, name, value),
        (Some(Value::Array(items)), Step::Index(index)) => {
            if let (Some(item), Some(value)) = (items.get_mut(*index), value) {
                *item = value.clone();
            }
        }
        _ => {}
    }
}

fn put_field(object: &mut Object, name: &str, value: Option<&Value>) {
    match value {
        Some(value) => {
            object.insert(name.to_owned(), value.clone());
        }
        None => {
            object.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(value: Value) -> Object {
        serde_json::from_value(value).unwrap()
    }

    /// Applies what turned `plain` into `wanted` to another plain object.
    fn restored(plain: Value, wanted: Value, later: Value) -> Value {
        let lost = Lost::between(&object(plain), &object(wanted));
        let text = serde_json::to_string(&lost).unwrap();
        let lost: Lost = serde_json::from_str(&text).unwrap();
        let mut later = object(later);
        lost.restore(&mut later);
        later.into()
    }

    #[test]
    fn an_edited_value_wins_and_its_neighbours_come_back() {
        let plain = json!({"storage": {"type": "etcd"}, "a": {}});
        let wanted = json!({"storage": {"type": "nats", "nats": {"size": 1}}, "a": {"b": null}});
        assert_eq!(restored(plain.clone(), wanted.clone(), plain.clone()), wanted);
        assert_eq!(
            restored(plain, wanted, json!({"storage": {"type": "kine"}, "a": {}})),
            json!({"storage": {"type": "kine", "nats": {"size": 1}}, "a": {"b": null}})
        );
    }

    #[test]
    fn what_lay_in_something_removed_stays_removed() {
        let plain = json!({"ingress": {"host": "h"}});
        let wanted = json!({"ingress": {"host": "h", "gateway": {"name": "g"}}});
        assert_eq!(restored(plain, wanted, json!({})), json!({}));
    }

    #[test]
    fn a_computed_value_goes_unless_something_joined_it() {
        let plain = json!({"storage": {"type": "etcd"}});
        assert_eq!(restored(plain.clone(), json!({}), plain.clone()), json!({}));
        let later = json!({"storage": {"type": "etcd", "etcd": {}}});
        assert_eq!(restored(plain, json!({}), later.clone()), later);
    }

    #[test]
    fn elements_are_found_where_they_went() {
        let plain = json!({"files": [{"path": "/a"}, {"path": "/b", "content": "b"}]});
        let wanted =
            json!({"files": [{"path": "/a", "owner": "x"}, {"path": "/b", "content": "b", "owner": "y"}]});
        // One was put before them, and one was edited.
        let later = json!({"files": [{"path": "/0"}, {"path": "/b", "content": "new"}, {"path": "/a"}]});
        let expected = json!({"files": [{"path": "/0"}, {"path": "/b", "content": "new", "owner": "y"}, {"path": "/a", "owner": "x"}]});
        assert_eq!(restored(plain.clone(), wanted.clone(), later), expected);
        // One was removed; what it had goes with it.
        assert_eq!(
            restored(
                plain.clone(),
                wanted.clone(),
                json!({"files": [{"path": "/b", "content": "b"}]})
            ),
            json!({"files": [{"path": "/b", "content": "b", "owner": "y"}]})
        );
        // Two have the name of one that was edited.
        let twice = json!({"files": [{"path": "/b", "content": "1"}, {"path": "/b", "content": "2"}]});
        assert_eq!(restored(plain, wanted, twice.clone()), twice);
    }

    #[test]
    fn equal_elements_keep_their_own() {
        let plain = json!({"l": [{"name": "n"}, {"name": "n"}, 1]});
        let wanted = json!({"l": [{"name": "n", "x": [1]}, {"name": "n", "x": [2]}, 2]});
        assert_eq!(restored(plain.clone(), wanted.clone(), plain), wanted);
    }

    #[test]
    fn a_list_of_another_length_is_kept_as_a_whole() {
        let (plain, wanted) = (json!({"l": [1, 2]}), json!({"l": [1, 2, 3]}));
        assert_eq!(restored(plain.clone(), wanted.clone(), plain.clone()), wanted);
        assert_eq!(restored(plain, wanted, json!({"l": [1]})), json!({"l": [1]}));
    }

    #[test]
    fn who_the_object_is_cannot_be_changed() {
        let lost: Lost = serde_json::from_value(json!({"operations": [
            {"path": ["metadata"], "value": {"name": "other"}},
            {"path": ["kind"], "was": "K", "value": "Other"},
            {"path": ["spec"], "value": {"ok": true}},
        ]}))
        .unwrap();
        let mut plain = object(json!({"kind": "K"}));
        lost.restore(&mut plain);
        assert_eq!(Value::from(plain), json!({"kind": "K", "spec": {"ok": true}}));
    }

    #[test]
    fn parts_of_another_status_are_forgotten() {
        let mut lost = Lost::between(
            &object(json!({"status": {"ready": true}, "spec": {}})),
            &object(json!({"status": {"ready": false}, "spec": {"a": 1}})),
        );
        lost.status = Some(witness(&json!({"replicas": 1})));
        let mut same = lost.clone();
        same.check_status(Some(&json!({"replicas": 1})));
        assert_eq!(same, lost);
        lost.check_status(Some(&json!({"replicas": 2})));
        assert_eq!(lost.operations.len(), 1);
        assert!(!lost.concerns_status());
    }

    fn anything() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3_i64).prop_map(Value::from),
            "[ab]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("a|b|name", inner, 0..3).prop_map(|entries| json!(entries)),
            ]
        })
    }

    proptest! {
        #[test]
        fn operations_make_anything_of_anything(plain in anything(), wanted in anything()) {
            let (plain, wanted) = (json!({"spec": plain}), json!({"spec": wanted}));
            prop_assert_eq!(restored(plain.clone(), wanted.clone(), plain), wanted);
        }
    }
}
