//! How the k0s binary gets onto the host.

use crate::plan::PlanError;
use crate::shell::quote;
use crate::version::Version;

/// The script that finds the binary of a version for the host's architecture.
const INSTALLER: &str = "https://get.k0s.sh";

/// The line that puts `k0s` into `dir`, or none when it is installed beforehand.
///
/// The binary is fetched beside its place, must run there, and is then renamed: a half-fetched file, an error page or
/// the wrong architecture never becomes `k0s`, and a running k0s is not written into. A host that already has exactly
/// the wanted version is left alone, so that a retry costs nothing.
pub(crate) fn command(
    url: &str,
    preinstalled: bool,
    version: Option<&Version>,
    dir: &str,
) -> Result<Option<String>, PlanError> {
    if preinstalled {
        return Ok(None);
    }
    let binary = format!("{dir}/k0s");
    let staging = format!("{dir}/.k0s-download");
    let (binary, staged) = (quote(&binary), format!("{staging}/k0s"));
    let (staging, staged) = (quote(&staging), quote(&staged));

    let fetch = fetch(url, version, &staging, &staged)?;
    let install = format!(
        "mkdir -p {staging} && {fetch} && chmod 0755 {staged} && {staged} version && mv -f {staged} {binary} && rm -rf {staging}"
    );
    Ok(Some(match version {
        Some(version) => {
            let wanted = version.with_default_suffix().to_string();
            format!(
                "test \"$({binary} version 2>/dev/null)\" = {} || {{ {install}; }}",
                quote(&wanted)
            )
        }
        None => install,
    }))
}

fn fetch(url: &str, version: Option<&Version>, staging: &str, staged: &str) -> Result<String, PlanError> {
    let url = url.trim();
    if url.is_empty() || url.trim_end_matches('/') == INSTALLER {
        // Through a variable: in a pipe, a failing curl would leave `sh` with nothing to do, successfully.
        let version = version
            .map(|version| {
                format!(
                    " K0S_VERSION={}",
                    quote(&version.with_default_suffix().to_string())
                )
            })
            .unwrap_or_default();
        return Ok(format!(
            "script=\"$(curl -sSfL --retry 5 {INSTALLER})\" && printf '%s\\n' \"$script\" | K0S_INSTALL_PATH={staging}{version} sh"
        ));
    }
    let error = |problem| PlanError::DownloadUrl {
        url: url.to_owned(),
        problem,
    };
    if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(error("contains white space"));
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(|| error("has no scheme"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() {
        return Err(error("has no host"));
    }
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => Ok(format!("curl -sSfL --retry 5 {} -o {staged}", quote(url))),
        "oci" if path.is_empty() => Err(error("names no repository")),
        // oras keeps its credentials below HOME, which cloud-init does not set.
        "oci" => Ok(format!(
            "HOME=\"${{HOME:-/root}}\" oras blob fetch --output {staged} {}",
            quote(rest)
        )),
        _ => Err(error("has a scheme that is not supported")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIR: &str = "/usr/local/bin";

    fn line(url: &str, version: Option<&str>) -> String {
        let version = version.map(|version| version.parse().unwrap());
        command(url, false, version.as_ref(), DIR).unwrap().unwrap()
    }

    #[test]
    fn fetches_beside_and_renames() {
        insta::assert_snapshot!(line("https://example.com/k0s?a=b&c=d", Some("v1.36.3+k0s.2")));
    }

    #[test]
    fn asks_the_installer_for_the_wanted_version() {
        insta::assert_snapshot!(line("", Some("v1.36.3")));
        assert_eq!(line("https://get.k0s.sh", None), line("", None));
        assert!(!line("", None).contains("K0S_VERSION"));
    }

    #[test]
    fn fetches_blobs_of_registries() {
        insta::assert_snapshot!(line("oci://registry.example.com/k0s@sha256:abc", None));
    }

    #[test]
    fn leaves_a_preinstalled_binary_alone() {
        assert_eq!(command("ftp://x", true, None, DIR), Ok(None));
    }

    #[test]
    fn refuses_what_cannot_be_fetched() {
        for url in [
            "ftp://host/k0s",
            "host/k0s",
            "https://",
            "https:///k0s",
            "oci://host",
            "https://host/a b",
            "://",
        ] {
            let error = command(url, false, None, DIR).unwrap_err();
            assert!(error.to_string().contains("write an http(s)://"), "{error}");
        }
    }
}
