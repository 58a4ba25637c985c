//! Where things that take long to make are kept between runs: `${K0SMOTRON_CACHE:-~/.cache/k0smotron}`.
//!
//! An entry is absent or complete: it is made beside its place and renamed, under a lock that ends with its holder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// The entry `<kind>/<key>`; `make` fills a fresh directory when there is none.
///
/// # Errors
/// The cache cannot be written, its path holds a character that mount options do not take, or `make` fails.
pub fn get_or_make(kind: &str, key: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let directory = root()?.join(kind);
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let entry = directory.join(key);
    if entry.is_dir() {
        return Ok(entry);
    }
    let lock = directory.join(format!(".{key}.lock"));
    let lock = File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
    lock.lock().context("cannot lock the cache")?;
    if entry.is_dir() {
        return Ok(entry);
    }
    // A fixed name: what a killed run left behind is found and removed by the next one.
    let partial = directory.join(format!(".{key}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    fs::create_dir(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    make(&partial)?;
    fs::rename(&partial, &entry).with_context(|| format!("cannot make {}", entry.display()))?;
    Ok(entry)
}

/// 16 hexadecimal digits that change with any of `parts`.
pub fn key<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex(hash.finalize().get(..8).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn root() -> Result<PathBuf> {
    let root = std::path::absolute(crate::cache_directory()?)?;
    // The paths become overlay mount options, where these characters separate.
    ensure!(
        !root.to_string_lossy().contains([':', ',', '\\', '"']),
        "the cache directory {} must not contain any of : , \\ \"",
        root.display()
    );
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn keys_tell_where_one_part_ends() {
        assert_ne!(key([b"ab".as_slice(), b"c"]), key([b"a".as_slice(), b"bc"]));
        assert_eq!(key([b"ab".as_slice()]).len(), 16);
    }
}
