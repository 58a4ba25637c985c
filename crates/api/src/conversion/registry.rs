//! The kinds that can be converted: their rules, and the fields of their versions.

use std::sync::OnceLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};

use super::known::Known;
use super::rules::KindRules;
use super::{Version, kinds};

/// A kind with two versions.
#[derive(Debug)]
pub(super) struct Kind {
    group: String,
    name: String,
    pub(super) rules: &'static KindRules,
    v1beta1: Known,
    v1beta2: Known,
}

impl Kind {
    /// From the schemas of both versions; `None` if one of them is missing.
    pub(super) fn new(definition: &CustomResourceDefinition) -> Option<Self> {
        let known = |version: Version| {
            let mut versions = definition.spec.versions.iter();
            let version = versions.find(|candidate| candidate.name == version.as_str())?;
            let schema = version.schema.as_ref()?.open_api_v3_schema.as_ref()?;
            Some(root(schema))
        };
        let (group, name) = (&definition.spec.group, &definition.spec.names.kind);
        Some(Self {
            group: group.clone(),
            name: name.clone(),
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

fn root(schema: &JSONSchemaProps) -> Known {
    let mut known = Known::from_schema(schema);
    known.keep_type_and_metadata();
    known
}

/// The kind of a group, if it is one of ours and has two versions.
pub(super) fn kind(group: &str, name: &str) -> Option<&'static Kind> {
    static KINDS: OnceLock<Vec<Kind>> = OnceLock::new();
    KINDS
        .get_or_init(|| crate::crds().iter().filter_map(Kind::new).collect())
        .iter()
        .find(|kind| kind.group == group && kind.name == name)
}
