//! Where k0s comes from: real k0s whenever there is one, else the stand-in.

use std::{
    fmt,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

/// The release that suites, benchmarks and documents speak of.
pub const VERSION: &str = "v1.36.3+k0s.2";

/// A k0s binary.
#[derive(Clone, Debug)]
pub struct K0s {
    pub path: PathBuf,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Real,
    StandIn,
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Real => "real",
            Self::StandIn => "stand-in",
        })
    }
}

/// `K0S_BINARY` if set, `k0s` in PATH, the pinned release where its host can be reached, else the stand-in.
///
/// # Errors
/// `K0S_BINARY` names something that does not run, or the stand-in is not built.
pub async fn find() -> Result<K0s> {
    let given = std::env::var("K0S_BINARY").unwrap_or_default();
    if !given.is_empty() && given != "stand-in" {
        let path = Path::new(&given)
            .canonicalize()
            .with_context(|| format!("K0S_BINARY={given}"))?;
        return checked(path, Kind::Real).await;
    }
    if given.is_empty() {
        if let Some(path) = in_path() {
            return checked(path, Kind::Real).await;
        }
        if let Some(path) = release().await? {
            return checked(path, Kind::Real).await;
        }
    }
    let path = std::env::current_exe()?.with_file_name("k0s-stand-in");
    ensure!(path.is_file(), "{} is not built; make does that", path.display());
    checked(path, Kind::StandIn).await
}

/// Writes to `target` a copy of the k0s in `source` that says it is `version`: something to update to where there is
/// only one release. It works for real k0s as for the stand-in, and the versions must be of the same length.
///
/// # Errors
/// The lengths differ, `source` does not say [`VERSION`], or a file cannot be read or written.
pub fn write_another(source: &Path, version: &str, target: &Path) -> Result<()> {
    ensure!(
        version.len() == VERSION.len(),
        "{version} is not as long as {VERSION}, which it has to replace"
    );
    let mut content = std::fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
    let mut replaced = 0;
    let mut from = 0;
    while let Some(found) = position(content.get(from..).unwrap_or_default(), VERSION.as_bytes()) {
        let begin = from + found;
        from = begin + VERSION.len();
        if let Some(place) = content.get_mut(begin..from) {
            place.copy_from_slice(version.as_bytes());
            replaced += 1;
        }
    }
    ensure!(replaced > 0, "{} does not say {VERSION}", source.display());
    std::fs::write(target, content)
        .and_then(|()| std::fs::set_permissions(target, std::fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot write {}", target.display()))
}

fn position(content: &[u8], wanted: &[u8]) -> Option<usize> {
    content.windows(wanted.len()).position(|window| window == wanted)
}

async fn checked(path: PathBuf, kind: Kind) -> Result<K0s> {
    let output = Command::new(&path).arg("version").output().await;
    let output = output.with_context(|| format!("cannot run {}", path.display()))?;
    let found = String::from_utf8_lossy(&output.stdout);
    let found = found.trim();
    if found != VERSION {
        eprintln!(
            "note: {} is {found:?}; figures are published for {VERSION}",
            path.display()
        );
    }
    Ok(K0s { path, kind })
}

fn in_path() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join("k0s"))
        .find(|path| path.is_file())
}

/// The pinned release from the cache, or downloaded and checked against the checksum published beside it. `None`
/// where its host cannot be reached.
async fn release() -> Result<Option<PathBuf>> {
    let folder = k0smotron_e2e_components::cache_directory()?.join("k0s");
    let name = format!("k0s-{VERSION}-amd64");
    let file = folder.join(&name);
    if file.is_file() {
        return Ok(Some(file));
    }
    let base = format!("https://github.com/k0sproject/k0s/releases/download/{VERSION}").replace('+', "%2B");
    let Some(sums) = curl(&format!("{base}/sha256sums.txt"), None).await? else {
        return Ok(None);
    };
    let sums = String::from_utf8_lossy(&sums).into_owned();
    let wanted = sums
        .lines()
        .filter_map(|line| line.split_once(char::is_whitespace))
        .find_map(|(sum, file)| (file.trim().trim_start_matches('*') == name).then(|| sum.to_owned()))
        .with_context(|| format!("no checksum of {name} beside the release"))?;
    std::fs::create_dir_all(&folder)?;
    let partial = folder.join(format!("{name}.{}", std::process::id()));
    let url = format!("{base}/{}", name.replace('+', "%2B"));
    if curl(&url, Some(&partial)).await?.is_none() {
        return Ok(None);
    }
    let output = Command::new("sha256sum").arg(&partial).output().await?;
    let found = String::from_utf8_lossy(&output.stdout);
    if !found.starts_with(&wanted) {
        std::fs::remove_file(&partial)?;
        bail!("{url} has another checksum than the one published beside it");
    }
    Command::new("chmod").arg("0755").arg(&partial).status().await?;
    std::fs::rename(&partial, &file)?;
    Ok(Some(file))
}

async fn curl(url: &str, file: Option<&Path>) -> Result<Option<Vec<u8>>> {
    let mut command = Command::new("curl");
    command.args(["-sSfL", "--connect-timeout", "3", "--max-time", "600", url]);
    if let Some(file) = file {
        command.arg("-o").arg(file);
    }
    let output = command.output().await.context("cannot run curl")?;
    Ok(output.status.success().then_some(output.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_release_differs_in_its_version_only() {
        let directory = tempfile::tempdir().unwrap();
        let (source, target) = (directory.path().join("k0s"), directory.path().join("other"));
        std::fs::write(&source, format!("\u{0}{VERSION}|{VERSION}-more")).unwrap();
        write_another(&source, "v1.36.3+k0s.3", &target).unwrap();
        assert_eq!(
            std::fs::read_to_string(&target).unwrap(),
            "\u{0}v1.36.3+k0s.3|v1.36.3+k0s.3-more"
        );
        assert!(write_another(&source, "v1.36.10+k0s.0", &target).is_err());
        assert!(
            write_another(&target, "v1.36.3+k0s.4", &source).is_err(),
            "it says something else by now"
        );
    }
}
