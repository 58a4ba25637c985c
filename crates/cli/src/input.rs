//! Files and standard input.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// A stream of documents and where it came from.
pub struct Input {
    /// For messages: the path as given, or `<stdin>`.
    pub name: String,
    pub text: String,
    path: Option<PathBuf>,
}

/// Reads each file in turn; `-`, or no file at all, is standard input.
///
/// # Errors
/// A file cannot be read.
pub fn read(files: &[PathBuf]) -> Result<Vec<Input>> {
    if files.is_empty() {
        return Ok(vec![stdin()?]);
    }
    let inputs = files.iter().map(|path| {
        if path == Path::new("-") {
            return stdin();
        }
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Input {
            name: path.display().to_string(),
            text,
            path: Some(path.clone()),
        })
    });
    inputs.collect()
}

fn stdin() -> Result<Input> {
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .context("cannot read standard input")?;
    Ok(Input {
        name: "<stdin>".to_owned(),
        text,
        path: None,
    })
}

impl Input {
    /// Replaces the file's content: whole or not at all, since it may be the only copy.
    ///
    /// # Errors
    /// The input was no file, or it cannot be written.
    pub fn replace(&self, text: &str) -> Result<()> {
        let Some(path) = &self.path else {
            bail!("standard input cannot be changed in place")
        };
        if text == self.text {
            return Ok(());
        }
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or_else(|| Path::new("."));
        let write = || -> io::Result<()> {
            let mut beside = tempfile::NamedTempFile::new_in(directory)?;
            beside.write_all(text.as_bytes())?;
            beside
                .as_file()
                .set_permissions(fs::metadata(path)?.permissions())?;
            beside.persist(path)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}
