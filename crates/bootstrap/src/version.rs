//! Which k0s a host gets.

use k0smotron_api::capi::Machine;
use k0smotron_k0s::version::Version;

/// The config's own version, else the Machine's, with a k0s suffix; none when neither says one.
///
/// # Errors
/// Which field holds no version.
pub fn of(config: Option<&str>, machine: Option<&Machine>) -> Result<Option<Version>, String> {
    let machine = machine.and_then(|machine| machine.spec.version.as_deref());
    let candidates = [("spec.version", config), ("the Machine's spec.version", machine)];
    let given = candidates
        .into_iter()
        .filter_map(|(field, text)| text.map(|text| (field, text)))
        .find(|(_, text)| !text.is_empty());
    match given {
        None => Ok(None),
        // Machines of a ClusterClass may carry the suffix with a dash, because a plus is not allowed there.
        Some((field, text)) => Version::parse_lenient(text)
            .map(|version| Some(version.with_default_suffix()))
            .map_err(|error| format!("{field}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(version: &str) -> Machine {
        let mut machine = Machine::default();
        machine.spec.version = Some(version.to_owned());
        machine
    }

    #[test]
    fn the_config_wins_over_the_machine() {
        let of = |config, machine: &str| {
            of(config, Some(&self::machine(machine))).map(|v| v.map(|v| v.to_string()))
        };
        assert_eq!(
            of(Some("v1.36.3+k0s.2"), "v1.36.2"),
            Ok(Some("v1.36.3+k0s.2".to_owned()))
        );
        assert_eq!(of(None, "v1.36.2"), Ok(Some("v1.36.2+k0s.0".to_owned())));
        assert_eq!(
            of(Some(""), "v1.36.2-k0s.1"),
            Ok(Some("v1.36.2+k0s.1".to_owned()))
        );
        assert!(
            of(None, "nonsense")
                .unwrap_err()
                .starts_with("the Machine's spec.version")
        );
        assert_eq!(super::of(None, None), Ok(None));
    }
}
