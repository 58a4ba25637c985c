//! Feature gates, by the original's names. None has an effect yet; a name that is not known is an error at start,
//! not a line in a log that nobody reads.

use std::collections::BTreeMap;

const KNOWN: [&str; 2] = ["CloudInitVars", "InPlaceUpdates"];

/// Reads `Name=true,Other=false`.
///
/// # Errors
/// With the first part that is not understood.
pub fn parse(text: &str) -> Result<BTreeMap<String, bool>, String> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("feature gate {part:?}: expected Name=true"))?;
            let value = value
                .parse()
                .map_err(|_| format!("feature gate {name}: {value:?} is neither true nor false"))?;
            if KNOWN.contains(&name) {
                Ok((name.to_owned(), value))
            } else {
                Err(format!(
                    "feature gate {name:?} is not known; known are {}",
                    KNOWN.join(", ")
                ))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_refuses() {
        assert_eq!(parse("").unwrap(), BTreeMap::new());
        assert!(parse("CloudInitVars=true, InPlaceUpdates=false").unwrap()["CloudInitVars"]);
        for bad in ["CloudInitVars", "CloudInitVars=yes", "Other=true"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
