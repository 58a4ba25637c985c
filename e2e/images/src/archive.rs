//! OCI image layouts in one tar file, as `ctr images import`, `podman load`, `skopeo copy oci-archive:` and
//! `docker load` read them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tar::Header;

use crate::image::{Image, architecture};
use crate::layer::{Layer, Measured};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

enum Blob {
    Json(Vec<u8>),
    Layer(Layer),
}

/// Writes `images`, each layer once, and returns the digests of their manifests in the same order.
///
/// # Errors
/// A layer's file has gone or changed since, or `target` cannot be written.
pub fn write(images: &[Image], target: impl Write) -> Result<Vec<String>> {
    let mut blobs = BTreeMap::new();
    let mut digests = Vec::new();
    let mut entries = Vec::new();
    for image in images {
        let config = add_json(&mut blobs, &image.config())?;
        let layers: Vec<_> = image
            .layers
            .iter()
            .map(|layer| {
                blobs.insert(layer.digest.clone(), Blob::Layer(layer.clone()));
                json!({"mediaType": layer.media_type(), "digest": layer.digest, "size": layer.size})
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config.0,
                "size": config.1,
            },
            "layers": layers,
        });
        let (digest, size) = add_json(&mut blobs, &manifest)?;
        entries.push(json!({
            "mediaType": MANIFEST,
            "digest": digest,
            "size": size,
            "platform": {"architecture": architecture(), "os": "linux"},
            // The name in containerd's words and in those of everybody else.
            "annotations": {
                "io.containerd.image.name": image.name,
                "org.opencontainers.image.ref.name": image.name,
            },
        }));
        digests.push(digest);
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": entries,
    });

    let mut archive = tar::Builder::new(BufWriter::with_capacity(1 << 20, target));
    append(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    append(&mut archive, "index.json", &serde_json::to_vec(&index)?)?;
    for (digest, blob) in &blobs {
        let path = format!("blobs/{}", digest.replace(':', "/"));
        match blob {
            Blob::Json(bytes) => append(&mut archive, &path, bytes)?,
            Blob::Layer(layer) => append_layer(&mut archive, &path, layer)?,
        }
    }
    archive.into_inner()?.flush()?;
    Ok(digests)
}

/// As [`write`], to a file that is there only when it is complete.
///
/// # Errors
/// As [`write`].
pub fn write_file(images: &[Image], path: &Path) -> Result<Vec<String>> {
    let partial = path.with_extension("partial");
    let file = File::create(&partial).with_context(|| format!("cannot write {}", partial.display()))?;
    let digests = write(images, file).with_context(|| format!("cannot write {}", partial.display()))?;
    fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(digests)
}

fn add_json(blobs: &mut BTreeMap<String, Blob>, value: &Value) -> Result<(String, usize)> {
    let bytes = serde_json::to_vec(value)?;
    let size = bytes.len();
    let mut measured = Measured::new(std::io::sink());
    measured.write_all(&bytes)?;
    let (digest, _) = measured.finish();
    blobs.insert(digest.clone(), Blob::Json(bytes));
    Ok((digest, size))
}

fn append(archive: &mut tar::Builder<impl Write>, path: &str, bytes: &[u8]) -> Result<()> {
    Ok(archive.append_data(&mut header(bytes.len() as u64), path, bytes)?)
}

/// Straight from the files it is made of: an archive may be larger than the memory, or than the disk.
fn append_layer(archive: &mut tar::Builder<impl Write>, path: &str, layer: &Layer) -> Result<()> {
    let mut header = header(layer.size);
    header.set_path(path)?;
    header.set_cksum();
    let target = archive.get_mut();
    target.write_all(header.as_bytes())?;
    let mut measured = Measured::new(&mut *target);
    layer.write(&mut measured)?;
    let (digest, size) = measured.finish();
    anyhow::ensure!(
        digest == layer.digest,
        "a file changed while its image was written"
    );
    let rest = size.next_multiple_of(512) - size;
    target.write_all(&vec![0; usize::try_from(rest)?])?;
    Ok(())
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::layer::{Encoding, LayerBuilder};

    fn image(name: &str, layers: &[Layer]) -> Image {
        Image {
            name: name.to_owned(),
            entrypoint: vec!["/program".to_owned()],
            layers: layers.to_vec(),
            ..Image::default()
        }
    }

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let path = entry.path().unwrap().to_string_lossy().into_owned();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                (path, content)
            })
            .collect()
    }

    #[test]
    fn an_archive_is_a_layout_whose_digests_are_those_of_its_blobs() {
        let program = tempfile::NamedTempFile::new().unwrap();
        fs::write(program.path(), vec![7; 70_000]).unwrap();
        let base = LayerBuilder::new()
            .directory("tmp", 0o1777)
            .build(Encoding::Plain)
            .unwrap();
        let own = LayerBuilder::new()
            .file("/program", 0o755, program.path())
            .link("bin/other", "/program")
            .build(Encoding::Plain)
            .unwrap();
        let zipped = LayerBuilder::new()
            .text("etc/motd", 0o644, "hello")
            .build(Encoding::Gzip)
            .unwrap();
        let images = [
            image("example.org/a:1", &[base.clone(), own]),
            image("example.org/b:1", &[base, zipped]),
        ];
        let mut bytes = Vec::new();
        write(&images, &mut bytes).unwrap();

        let files = files(&bytes);
        let blobs: Vec<_> = files.keys().filter(|path| path.starts_with("blobs/")).collect();
        assert_eq!(blobs.len(), 3 + 2 + 2, "the shared layer is there once");
        for path in blobs {
            let mut measured = Measured::new(std::io::sink());
            measured.write_all(&files[path]).unwrap();
            let digest = measured.finish().0.replace(':', "/");
            assert_eq!(path, &format!("blobs/{digest}"));
        }
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let names: Vec<_> = index["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["annotations"]["io.containerd.image.name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["example.org/a:1", "example.org/b:1"]);
    }

    #[test]
    fn the_same_files_make_the_same_bytes() {
        let build = || {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), "the program").unwrap();
            let layer = LayerBuilder::new()
                .file("program", 0o755, file.path())
                .build(Encoding::Gzip)
                .unwrap();
            let mut bytes = Vec::new();
            write(&[image("example.org/a:1", &[layer])], &mut bytes).unwrap();
            bytes
        };
        assert_eq!(build(), build());
    }
}
