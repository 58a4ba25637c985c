//! The Go toolchain of this machine: found, checked, and called in one way.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The oldest Go that builds the pinned components: their `go.mod` files demand it.
const OLDEST: (u32, u32) = (1, 26);

pub(crate) struct Toolchain {
    /// `GOVERSION GOOS GOARCH`, for example `go1.26.8 linux amd64`; part of the cache key.
    identity: String,
}

impl Toolchain {
    pub(crate) fn find() -> Result<Self> {
        let output = command(Path::new("/"))
            .args(["env", "GOVERSION", "GOOS", "GOARCH"])
            .output()
            .context("cannot run `go`: install Go 1.26 or newer and put it on PATH")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "`go env` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let identity = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let version = identity.split(' ').next().unwrap_or_default();
        match parse(version) {
            Some(found) if found >= OLDEST => Ok(Self { identity }),
            Some(_) => {
                bail!("Go 1.26 or newer is needed to build the upstream components, PATH has {version}")
            }
            None => bail!("cannot read the version of Go from {version:?}; Go 1.26 or newer is needed"),
        }
    }

    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// `go` in `directory`, with an environment in which only the module files and flags decide the result.
    ///
    /// It builds without C; a component that needs C says so itself.
    pub(crate) fn command(&self, directory: &Path) -> Command {
        command(directory)
    }
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(directory)
        // A newer toolchain fetched behind our back would not be the one in the cache key.
        .env("GOTOOLCHAIN", "local")
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .env_remove("GOOS")
        .env_remove("GOARCH");
    command
}

/// Major and minor of `go1.26.8`, `go1.27rc1`, `devel go1.27-…`.
fn parse(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.strip_prefix("go")?.split_once('.')?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{OLDEST, parse};

    #[test]
    fn reads_the_forms_go_prints() {
        assert_eq!(parse("go1.26.8"), Some((1, 26)));
        assert_eq!(parse("go1.27rc1"), Some((1, 27)));
        assert_eq!(parse("go2.0"), Some((2, 0)));
        assert_eq!(parse("gcc"), None);
    }

    #[test]
    fn older_is_refused() {
        assert!(parse("go1.25.9") < Some(OLDEST));
        assert!(parse("go1.26") >= Some(OLDEST));
    }
}
