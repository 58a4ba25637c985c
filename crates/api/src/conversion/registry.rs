//! The kinds that can be converted: their rules, and the fields of their versions.

use std::sync::{LazyLock, OnceLock};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::known::{Known, Shared};
use super::rules::KindRules;
use super::{Version, kinds};
use crate::definitions;

/// A kind with two versions.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) rules: &'static KindRules,
    v1beta1: Known,
    v1beta2: Known,
}

impl Kind {
    /// From the schemas of both versions; `None` if one of them is missing.
    pub(super) fn new(definition: &CustomResourceDefinition) -> Option<Self> {
        let mut shared = Shared::default();
        let mut known = |version: Version| {
            let mut versions = definition.spec.versions.iter();
            let version = versions.find(|candidate| candidate.name == version.as_str())?;
            let schema = version.schema.as_ref()?.open_api_v3_schema.as_ref()?;
            Some(Known::root(schema, &mut shared))
        };
        let (group, name) = (&definition.spec.group, &definition.spec.names.kind);
        Some(Self {
            rules: kinds::rules(group, name),
            v1beta1: known(Version::V1Beta1)?,
            v1beta2: known(Version::V1Beta2)?,
        })
    }

    pub(super) fn known(&self, version: Version) -> &Known {
        match version {
            Version::V1Beta1 => &self.v1beta1,
            Version::V1Beta2 => &self.v1beta2,
        }
    }
}

/// The kind of a group, if it is one of ours and has two versions. Its fields are looked up in its definition the first time.
pub(super) fn kind(group: &str, name: &str) -> Option<&'static Kind> {
    static KINDS: LazyLock<Vec<(definitions::Kind, OnceLock<Option<Kind>>)>> = LazyLock::new(|| {
        let kinds = definitions::kinds().into_iter();
        kinds.map(|kind| (kind, OnceLock::new())).collect()
    });
    let (found, known) = KINDS
        .iter()
        .find(|(kind, _)| kind.group == group && kind.name == name)?;
    known.get_or_init(|| Kind::new(&found.definition())).as_ref()
}
