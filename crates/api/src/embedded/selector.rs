//! Label selectors.

use std::collections::BTreeMap;

use schemars::JsonSchema;

/// Selects objects by their labels; an empty one selects all.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase", extend("x-kubernetes-map-type" = "atomic"))]
pub struct LabelSelector {
    /// Labels that an object must have, with these values.
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Further conditions, all of which must hold.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Option<Vec<SelectorRequirement>>,
}

/// A condition on one label or field.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, rename_all = "camelCase")]
pub struct SelectorRequirement {
    /// Key of the label or field.
    pub key: String,
    /// How the value is compared: In, NotIn, Exists or DoesNotExist; for nodes also Gt and Lt.
    pub operator: String,
    /// Values to compare with; none for Exists and DoesNotExist, one for Gt and Lt.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub values: Option<Vec<String>>,
}
