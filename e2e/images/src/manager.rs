//! The image of the manager, as it is released: the program, the C library it was linked with, certificate
//! authorities, and nothing else. No shell, no package manager, nothing that is written to.

use std::path::Path;

use anyhow::{Context, Result};

use crate::image::Image;
use crate::layer::{Encoding, LayerBuilder};
use crate::libraries;

/// Where the image is published.
pub const REPOSITORY: &str = "quay.io/k0sproject/k0smotron";

/// Belongs to nobody on any host; the number of `nonroot` in other minimal images.
const USER: &str = "65532:65532";
const PASSWD: &str = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnonroot:x:65532:\n";
/// Debian's bundle, which is where OpenSSL and rustls look first.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The image of `binary`, a glibc executable of this host's architecture, for `version` (with leading `v`).
///
/// # Errors
/// The binary or one of its libraries cannot be read, or the package ca-certificates is not installed.
pub fn image(binary: &Path, version: &str, encoding: Encoding) -> Result<Image> {
    let authorities = Path::new(AUTHORITIES);
    authorities
        .metadata()
        .with_context(|| format!("{AUTHORITIES}: the package ca-certificates is needed"))?;
    let system = libraries::add(LayerBuilder::new(), binary)?
        .text("etc/passwd", 0o644, PASSWD)
        .text("etc/group", 0o644, GROUP)
        .file(AUTHORITIES, 0o644, authorities)
        .directory("tmp", 0o1777)
        .build(encoding)?;
    let program = LayerBuilder::new()
        .file("manager", 0o755, binary)
        .build(encoding)?;
    Ok(Image {
        name: format!("{REPOSITORY}:{version}"),
        // The Deployments name the same path.
        entrypoint: vec!["/manager".to_owned()],
        user: USER.to_owned(),
        layers: vec![system, program],
        ..Image::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive;

    #[test]
    fn two_builds_have_one_digest_and_no_shell() {
        let binary = std::env::current_exe().unwrap();
        let build = || {
            let mut bytes = Vec::new();
            let digests =
                archive::write(&[image(&binary, "v0.0.0", Encoding::Gzip).unwrap()], &mut bytes).unwrap();
            (digests, bytes.len())
        };
        assert_eq!(build(), build());

        let image = image(&binary, "v0.0.0", Encoding::Gzip).unwrap();
        let mut paths = Vec::new();
        for layer in &image.layers {
            let mut bytes = Vec::new();
            layer.write(&mut bytes).unwrap();
            let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
            for entry in archive.entries().unwrap() {
                let entry = entry.unwrap();
                assert_eq!(entry.header().uid().unwrap(), 0);
                paths.push(entry.path().unwrap().to_string_lossy().into_owned());
            }
        }
        assert!(paths.contains(&"manager".to_owned()));
        assert!(paths.iter().any(|path| path.contains("libc.so.6")), "{paths:?}");
        assert!(
            !paths
                .iter()
                .any(|path| path.ends_with("/sh") || path.ends_with("/bash")),
            "{paths:?}"
        );
    }
}
