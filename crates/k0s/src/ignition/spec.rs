//! Which version of Ignition's specification a Butane variant and version stand for.
//!
//! Source: docs/specs.md of Butane v0.24. Experimental versions are left out: Ignition refuses them once they are final.

/// A variant or version that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("Butane variant {0:?} is not known; known are fcos, flatcar, openshift, r4e, fiot")]
    Variant(String),
    #[error("Butane variant {variant} has no version {version:?} that is known here; known are {known}")]
    Version {
        variant: &'static str,
        version: String,
        known: String,
    },
}

/// Versions of Butane's specification, and of Ignition's.
type Versions = &'static [(&'static str, &'static str)];

const VARIANTS: [(&str, Versions); 5] = [
    (
        "fcos",
        &[
            ("1.0.0", "3.0.0"),
            ("1.1.0", "3.1.0"),
            ("1.2.0", "3.2.0"),
            ("1.3.0", "3.2.0"),
            ("1.4.0", "3.3.0"),
            ("1.5.0", "3.4.0"),
            ("1.6.0", "3.5.0"),
        ],
    ),
    ("flatcar", &[("1.0.0", "3.3.0"), ("1.1.0", "3.4.0")]),
    (
        "openshift",
        &[
            ("4.8.0", "3.2.0"),
            ("4.9.0", "3.2.0"),
            ("4.10.0", "3.2.0"),
            ("4.11.0", "3.2.0"),
            ("4.12.0", "3.2.0"),
            ("4.13.0", "3.2.0"),
            ("4.14.0", "3.4.0"),
            ("4.15.0", "3.4.0"),
            ("4.16.0", "3.4.0"),
            ("4.17.0", "3.4.0"),
            ("4.18.0", "3.4.0"),
            ("4.19.0", "3.5.0"),
        ],
    ),
    ("r4e", &[("1.0.0", "3.3.0"), ("1.1.0", "3.4.0")]),
    ("fiot", &[("1.0.0", "3.4.0")]),
];

/// Version of Ignition's specification, such as 3.4.0.
///
/// # Errors
/// There is no such variant, or it has no such version.
pub(super) fn version(variant: &str, version: &str) -> Result<&'static str, SpecError> {
    let (variant, known) = VARIANTS
        .iter()
        .find(|(name, _)| *name == variant)
        .ok_or_else(|| SpecError::Variant(variant.to_owned()))?;
    let found = known.iter().find(|(butane, _)| *butane == version.trim());
    found
        .map(|(_, ignition)| *ignition)
        .ok_or_else(|| SpecError::Version {
            variant,
            version: version.to_owned(),
            known: known
                .iter()
                .map(|(butane, _)| *butane)
                .collect::<Vec<_>>()
                .join(", "),
        })
}
