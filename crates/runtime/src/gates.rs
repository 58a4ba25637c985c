//! Feature gates, by the original's names. A name that is not known is an error at start, not a line in a log that
//! nobody reads.

use std::str::FromStr;

/// What is switched on beyond the defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureGates {
    /// `CloudInitVars`: custom user data is the whole cloud-config, and gets what is to be done as variables.
    pub cloud_init_vars: bool,
    /// `InPlaceUpdates`. Without effect so far.
    pub in_place_updates: bool,
}

impl FromStr for FeatureGates {
    type Err = String;

    /// Reads `Name=true,Other=false`; says which part is not understood.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut gates = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("feature gate {part:?}: expected Name=true"))?;
            let gate = match name {
                "CloudInitVars" => &mut gates.cloud_init_vars,
                "InPlaceUpdates" => &mut gates.in_place_updates,
                _ => {
                    return Err(format!(
                        "feature gate {name:?} is not known; known are CloudInitVars, InPlaceUpdates"
                    ));
                }
            };
            *gate = value
                .parse()
                .map_err(|_| format!("feature gate {name}: {value:?} is neither true nor false"))?;
        }
        Ok(gates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_refuses() {
        assert_eq!("".parse(), Ok(FeatureGates::default()));
        let gates: FeatureGates = "CloudInitVars=true, InPlaceUpdates=false".parse().unwrap();
        assert!(gates.cloud_init_vars && !gates.in_place_updates);
        for bad in ["CloudInitVars", "CloudInitVars=yes", "Other=true"] {
            assert!(bad.parse::<FeatureGates>().is_err(), "{bad}");
        }
    }
}
