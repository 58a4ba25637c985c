//! The files that tests are written in.

use std::{fs, path::Path};

/// Name and text of every file in a directory, by name.
pub fn files(directory: &Path) -> Vec<(String, String)> {
    let mut paths: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).unwrap()))
        .collect()
}
