//! k0s versions and their order.
//!
//! A k0s version is the Kubernetes version it carries plus a build counter: `v1.36.3+k0s.2`. Semantic versioning gives
//! build metadata no order, k0s does: `+k0s.10` comes after `+k0s.9`. Upgrade policy is not decided here.

use std::fmt;
use std::str::FromStr;

use semver::Prerelease;
use serde::{Deserialize, Serialize};

/// A version string longer than this is refused unread.
const MAX_LENGTH: usize = 128;

/// A k0s (or plain Kubernetes) version, totally ordered: core, then pre-release, then the k0s build number.
///
/// Written with a leading `v`. A version without suffix is older than the same version with `+k0s.0`, as users of the
/// original know it; where the two mean the same release, ask [`Version::same_release`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    pre: Prerelease,
    build: Build,
}

/// The part after `+`. The order of the variants is the order of versions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Build {
    None,
    K0s(u64),
    Other(String),
}

/// Why a text is not a version; the message quotes it and says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    #[error("the version is empty; write one such as v1.36.3+k0s.2")]
    Empty,
    #[error("the version is longer than {MAX_LENGTH} characters; write one such as v1.36.3+k0s.2")]
    TooLong,
    #[error(
        "version {0:?} is not of the form v<major>.<minor>.<patch>[+k0s.<n>]; write one such as v1.36.3+k0s.2"
    )]
    Malformed(String),
    #[error("version {given:?} carries the k0s build as a pre-release; write {instead}")]
    DashedSuffix { given: String, instead: String },
}

impl Version {
    /// A version without pre-release and suffix.
    pub const fn new(major: u64, minor: u64, patch: u64) -> Self {
        Self {
            major,
            minor,
            patch,
            pre: Prerelease::EMPTY,
            build: Build::None,
        }
    }

    /// Parses like [`FromStr`], and takes `-k0s.N` for `+k0s.N`: a `+` is not allowed everywhere a version is
    /// written (labels, image tags, ClusterClass versions), and users write the dash instead.
    pub fn parse_lenient(text: &str) -> Result<Self, VersionError> {
        text.trim().replacen("-k0s.", "+k0s.", 1).parse()
    }

    /// The same version with `+k0s.0` when it had no suffix: what k0s would be downloaded for it.
    pub fn with_default_suffix(&self) -> Self {
        let mut version = self.clone();
        if version.build == Build::None {
            version.build = Build::K0s(0);
        }
        version
    }

    /// Whether the version says which k0s build it is (`+k0s.N`).
    pub fn has_k0s_suffix(&self) -> bool {
        matches!(self.build, Build::K0s(_))
    }

    /// The Kubernetes version inside: major, minor, patch.
    pub fn kubernetes(&self) -> (u64, u64, u64) {
        (self.major, self.minor, self.patch)
    }

    /// Whether this is, say, `v1.36.1-rc.0+k0s.0`.
    pub fn is_prerelease(&self) -> bool {
        !self.pre.is_empty()
    }

    /// Whether both name the same release: equal once a missing suffix is read as `+k0s.0`.
    pub fn same_release(&self, other: &Self) -> bool {
        self.with_default_suffix() == other.with_default_suffix()
    }

    /// Whether k0s takes the etcd member name from `spec.storage.etcd.extraArgs.name` (v1.31.1 and later), so that
    /// the EtcdMember can bear the Machine's name. Earlier ones would join under the host name and start under the other.
    pub fn names_etcd_members(&self) -> bool {
        self.kubernetes() >= (1, 31, 1)
    }

    /// Whether an EtcdMember's `spec.leave` is enough to remove a controller (v1.31.6 and later); earlier ones need
    /// the host to leave by itself when it shuts down.
    pub fn leaves_by_etcd_member(&self) -> bool {
        self.kubernetes() >= (1, 31, 6)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    /// Reads `[v]<major>.<minor>[.<patch>][-<pre-release>][+<build>]`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err(VersionError::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(VersionError::TooLong);
        }
        let malformed = || VersionError::Malformed(text.to_owned());

        let rest = text.strip_prefix('v').unwrap_or(text);
        let (rest, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, Build::parse(build).ok_or_else(malformed)?),
            None => (rest, Build::None),
        };
        let (core, pre) = match rest.split_once('-') {
            Some((_, "")) => return Err(malformed()),
            Some((core, pre)) => (core, Prerelease::new(pre).map_err(|_| malformed())?),
            None => (rest, Prerelease::EMPTY),
        };
        if pre.starts_with("k0s.") || pre.contains("-k0s.") {
            let instead = text.replacen("-k0s.", "+k0s.", 1);
            return Err(VersionError::DashedSuffix {
                given: text.to_owned(),
                instead,
            });
        }

        let mut numbers = core.split('.').map(number);
        let mut next = || numbers.next().unwrap_or(Some(0));
        // A missing minor is a mistake rather than a zero; a missing patch is what people write.
        if !core.contains('.') {
            return Err(malformed());
        }
        let (major, minor, patch) = (next(), next(), next());
        if numbers.next().is_some() {
            return Err(malformed());
        }
        match (major, minor, patch) {
            (Some(major), Some(minor), Some(patch)) => Ok(Self {
                major,
                minor,
                patch,
                pre,
                build,
            }),
            _ => Err(malformed()),
        }
    }
}

impl Build {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("k0s.") {
            Some(n) => number(n).map(Self::K0s),
            None => {
                let valid = !text.is_empty() && semver::BuildMetadata::new(text).is_ok();
                valid.then(|| Self::Other(text.to_owned()))
            }
        }
    }
}

/// Digits only, without leading zeros: `u64::from_str` alone would take `+1` and `007`.
fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    (canonical && digits).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre)?;
        }
        match &self.build {
            Build::None => Ok(()),
            Build::K0s(n) => write!(f, "+k0s.{n}"),
            Build::Other(text) => write!(f, "+{text}"),
        }
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn writes_the_canonical_form() {
        for (given, expected) in [
            ("v1.36.3+k0s.2", "v1.36.3+k0s.2"),
            ("1.36.3+k0s.2", "v1.36.3+k0s.2"),
            (" v1.36.3 ", "v1.36.3"),
            ("1.36", "v1.36.0"),
            ("v1.36.1-rc.0+k0s.0", "v1.36.1-rc.0+k0s.0"),
            ("v1.36.1+other", "v1.36.1+other"),
        ] {
            assert_eq!(version(given).to_string(), expected);
        }
    }

    #[test]
    fn accepts_a_dashed_suffix_only_when_asked_to() {
        assert_eq!(
            Version::parse_lenient("v1.36.3-k0s.2").unwrap(),
            version("v1.36.3+k0s.2")
        );
        assert_eq!(
            Version::parse_lenient("1.36.1-rc.0-k0s.1").unwrap(),
            version("v1.36.1-rc.0+k0s.1")
        );
        let error = "v1.36.3-k0s.2".parse::<Version>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "version \"v1.36.3-k0s.2\" carries the k0s build as a pre-release; write v1.36.3+k0s.2"
        );
    }

    #[test]
    fn refuses_what_is_not_a_version() {
        for text in [
            "",
            "v",
            "latest",
            "1",
            "1.2.3.4",
            "v1.2.x",
            "1.-2.3",
            "1.+2.3",
            "01.2.3",
            "1.2.3-",
            "1.2.3+",
            "1.2.3+k0s.",
            "1.2.3+k0s.x",
            "1.2.3+k0s.01",
            "1.2.3 4",
            "99999999999999999999.0.0",
            "v1.2.3+a b",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
            assert!(Version::parse_lenient(text).is_err(), "{text:?}");
        }
        assert_eq!("1.2".repeat(100).parse::<Version>(), Err(VersionError::TooLong));
    }

    #[test]
    fn orders_builds_by_number() {
        let sorted = [
            "v1.31.6-rc.1+k0s.5",
            "v1.31.6",
            "v1.31.6+k0s.0",
            "v1.31.6+k0s.9",
            "v1.31.6+k0s.10",
            "v1.31.10",
            "v1.36.0",
        ];
        let mut versions: Vec<_> = sorted.iter().rev().map(|text| version(text)).collect();
        versions.sort();
        assert_eq!(
            versions.iter().map(Version::to_string).collect::<Vec<_>>(),
            sorted
        );
    }

    #[test]
    fn a_missing_suffix_is_the_first_build() {
        assert!(version("v1.31.2").same_release(&version("1.31.2+k0s.0")));
        assert!(!version("v1.31.2").same_release(&version("v1.31.2+k0s.1")));
        assert_eq!(
            version("v1.31.2").with_default_suffix().to_string(),
            "v1.31.2+k0s.0"
        );
        assert!(version("v1.31.2+k0s.1").has_k0s_suffix());
        assert!(!version("v1.31.2").has_k0s_suffix());
    }

    #[test]
    fn knows_what_old_versions_cannot_do() {
        assert!(!version("v1.31.0+k0s.0").names_etcd_members());
        assert!(version("v1.31.1+k0s.0").names_etcd_members());
        assert!(!version("v1.31.5+k0s.0").leaves_by_etcd_member());
        assert!(version("v1.31.6").leaves_by_etcd_member());
    }

    fn any_version() -> impl Strategy<Value = Version> {
        let pre = prop_oneof![Just(""), Just("-rc.0"), Just("-alpha.1")];
        let build = prop_oneof![
            Just(String::new()),
            (0u64..20).prop_map(|n| format!("+k0s.{n}")),
            Just("+other.1".to_owned())
        ];
        (0u64..3, 0u64..40, 0u64..20, pre, build).prop_map(|(major, minor, patch, pre, build)| {
            version(&format!("{major}.{minor}.{patch}{pre}{build}"))
        })
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = text.parse::<Version>();
            let _ = Version::parse_lenient(&text);
        }

        #[test]
        fn survives_being_written_and_read(version in any_version()) {
            prop_assert_eq!(&version.to_string().parse::<Version>().unwrap(), &version);
            prop_assert_eq!(&Version::parse_lenient(&version.to_string()).unwrap(), &version);
            let json = serde_json::to_string(&version).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Version>(&json).unwrap(), &version);
        }

        #[test]
        fn order_is_total(a in any_version(), b in any_version(), c in any_version()) {
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a == b, a.cmp(&b).is_eq());
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
        }
    }
}
