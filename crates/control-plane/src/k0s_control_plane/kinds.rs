//! Names of kinds of other providers. The contract names objects by group and kind only.

pub use k0smotron_runtime::kinds::Kinds;

/// Suffix by which a template's kind differs from the kind of what is made from it.
const TEMPLATE_SUFFIX: &str = "Template";

/// The kind made from a template of this kind; `None` if that is no template's name.
pub fn made_from(template_kind: &str) -> Option<&str> {
    template_kind
        .strip_suffix(TEMPLATE_SUFFIX)
        .filter(|kind| !kind.is_empty())
}
