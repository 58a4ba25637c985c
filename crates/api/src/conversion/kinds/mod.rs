//! The rules of each kind. A kind without any has the same fields in both versions, or fields that only one of them has.

mod bootstrap;
mod control_plane;
mod hosted;
mod infrastructure;
mod join_token_request;

use super::rules::KindRules;

/// The rules of a kind.
pub(super) fn rules(group: &str, kind: &str) -> &'static KindRules {
    const NONE: &KindRules = &KindRules::NONE;
    let mut all = KINDS.iter().flat_map(|kinds| kinds.iter());
    all.find(|rules| rules.group == group && rules.kind == kind)
        .unwrap_or(NONE)
}

const KINDS: &[&[KindRules]] = &[
    bootstrap::KINDS,
    control_plane::KINDS,
    hosted::KINDS,
    infrastructure::KINDS,
    join_token_request::KINDS,
];
