//! What a spec asks for and this version does not do yet.
//!
//! Such a field is accepted, named by condition [`UNSUPPORTED`](crate::names::conditions::types::UNSUPPORTED), and what it stands in is
//! not written to at all until the field is gone or its feature is there. Each spec lists its own fields: `spec.unsupported()`.

/// Collects the paths of fields that are set.
#[derive(Default)]
pub(crate) struct Fields(Vec<String>);

impl Fields {
    /// Adds `path` when the field is set.
    pub(crate) fn when(mut self, is_set: bool, path: impl Into<String>) -> Self {
        if is_set {
            self.0.push(path.into());
        }
        self
    }

    /// Adds what a part of the spec lists, each below `path`.
    pub(crate) fn below(mut self, path: &str, fields: Vec<String>) -> Self {
        self.0
            .extend(fields.into_iter().map(|field| format!("{path}.{field}")));
        self
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        self.0
    }
}

/// The message of the condition, with the remedy; `None` when every field is followed.
#[must_use]
pub fn message(fields: &[String]) -> Option<String> {
    (!fields.is_empty()).then(|| {
        format!(
            "not supported by this version yet: {}; remove or change what is named, nothing is done until then",
            fields.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_with_their_paths() {
        let fields = Fields::default()
            .when(true, "spec.replicas: 3")
            .when(false, "spec.rollout")
            .below("spec.k0sConfigSpec", vec!["tunneling.enabled: true".to_owned()])
            .into_vec();
        assert_eq!(
            fields,
            ["spec.replicas: 3", "spec.k0sConfigSpec.tunneling.enabled: true"]
        );
        assert!(
            message(&fields)
                .unwrap()
                .contains("spec.replicas: 3, spec.k0sConfigSpec.tunneling")
        );
        assert_eq!(message(&[]), None);
    }
}
