//! A layer: files as a tar archive whose bytes depend on nothing but paths, modes and contents.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_lc_rs::digest::{self, SHA256};
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

/// Files in the order in which they were added, all of them root's.
#[derive(Clone, Debug, Default)]
pub struct LayerBuilder {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Without leading slash.
    path: String,
    mode: u32,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Directory,
    Text(String),
    File(PathBuf),
    Link(String),
}

impl LayerBuilder {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of a file of this host; links are followed.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, source: &Path) -> Self {
        self.with(path, mode, Content::File(source.to_owned()))
    }

    /// A file with this content.
    #[must_use]
    pub fn text(self, path: &str, mode: u32, content: &str) -> Self {
        self.with(path, mode, Content::Text(content.to_owned()))
    }

    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.with(path, mode, Content::Directory)
    }

    /// A symbolic link to `target`.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.with(path, 0o777, Content::Link(target.to_owned()))
    }

    fn with(mut self, path: &str, mode: u32, content: Content) -> Self {
        let path = path.trim_start_matches('/').to_owned();
        self.entries.push(Entry { path, mode, content });
        self
    }

    /// The layer, stored as `encoding` says. Plain ones read the files once now, and once more for every archive.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn build(self, encoding: Encoding) -> Result<Layer> {
        match encoding {
            Encoding::Plain => Layer::plain(Source::Files(self.entries)),
            Encoding::Gzip => self.build_gzip(),
        }
    }

    fn build_gzip(self) -> Result<Layer> {
        let mut archive = Measured::new(io::sink());
        // Neither time nor name in the header: the same bytes every time.
        let mut compressed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        write_files(&self.entries, &mut Both(&mut archive, &mut compressed))?;
        let bytes = compressed.finish()?;
        let mut measured = Measured::new(io::sink());
        measured.write_all(&bytes)?;
        let (digest, size) = measured.finish();
        Ok(Layer {
            diff_id: archive.finish().0,
            digest,
            size,
            source: Arc::new(Source::Gzip(bytes)),
        })
    }
}

/// How a layer is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// For nodes of this host: nothing is stored, and nothing compressed.
    Plain,
    /// For images that are downloaded; kept in memory.
    Gzip,
}

/// What an image is made of; cheap to clone, and stored once however many images of an archive have it.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Of the uncompressed archive, `sha256:…`.
    pub(crate) diff_id: String,
    /// Of the bytes as they are stored.
    pub(crate) digest: String,
    pub(crate) size: u64,
    source: Arc<Source>,
}

#[derive(Debug)]
enum Source {
    Files(Vec<Entry>),
    /// A tar archive on this host.
    Archive(PathBuf),
    Gzip(Vec<u8>),
}

impl Layer {
    /// A tar archive that something else made.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn from_archive(path: &Path) -> Result<Self> {
        Self::plain(Source::Archive(path.to_owned()))
    }

    fn plain(source: Source) -> Result<Self> {
        let mut measured = Measured::new(io::sink());
        source.write(&mut measured)?;
        let (digest, size) = measured.finish();
        Ok(Self {
            diff_id: digest.clone(),
            digest,
            size,
            source: Arc::new(source),
        })
    }

    pub(crate) fn media_type(&self) -> &'static str {
        match *self.source {
            Source::Gzip(_) => "application/vnd.oci.image.layer.v1.tar+gzip",
            Source::Files(_) | Source::Archive(_) => "application/vnd.oci.image.layer.v1.tar",
        }
    }

    /// The bytes as they are stored.
    pub(crate) fn write(&self, target: &mut impl Write) -> Result<()> {
        self.source.write(target)
    }
}

impl Source {
    fn write(&self, target: &mut impl Write) -> Result<()> {
        match self {
            Self::Files(entries) => write_files(entries, target),
            Self::Gzip(bytes) => Ok(target.write_all(bytes)?),
            Self::Archive(path) => {
                let mut file = open(path)?;
                copy(&mut file, target).with_context(|| format!("cannot copy {}", path.display()))
            }
        }
    }
}

fn write_files(entries: &[Entry], target: &mut impl Write) -> Result<()> {
    let mut archive = tar::Builder::new(target);
    for entry in entries {
        let mut header = Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        let path = &entry.path;
        let added = match &entry.content {
            Content::Directory => {
                header.set_entry_type(EntryType::Directory);
                archive.append_data(&mut header, path, io::empty())
            }
            Content::Link(to) => {
                header.set_entry_type(EntryType::Symlink);
                archive.append_link(&mut header, path, to)
            }
            Content::Text(text) => {
                header.set_size(text.len() as u64);
                archive.append_data(&mut header, path, text.as_bytes())
            }
            Content::File(source) => {
                let file = open(source)?;
                header.set_size(file.metadata()?.len());
                archive.append_data(&mut header, path, file)
            }
        };
        added.with_context(|| format!("cannot add {path} to a layer"))?;
    }
    Ok(archive.finish()?)
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("cannot read {}", path.display()))
}

/// With a larger buffer than the library's: these are hundreds of megabytes.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = from.read(&mut buffer)?;
        match buffer.get(..read) {
            Some(bytes) if read > 0 => to.write_all(bytes)?,
            _ => return Ok(()),
        }
    }
}

/// Counts and hashes what goes through.
pub(crate) struct Measured<W> {
    target: W,
    digest: digest::Context,
    size: u64,
}

impl<W: Write> Measured<W> {
    pub(crate) fn new(target: W) -> Self {
        Self {
            target,
            digest: digest::Context::new(&SHA256),
            size: 0,
        }
    }

    /// `sha256:…` and the number of bytes.
    pub(crate) fn finish(self) -> (String, u64) {
        let digest = self.digest.finish();
        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        (format!("sha256:{hex}"), self.size)
    }
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.target.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}

/// Writes everything to both.
struct Both<'a, A, B>(&'a mut A, &'a mut B);

impl<A: Write, B: Write> Write for Both<'_, A, B> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        self.1.flush()
    }
}
