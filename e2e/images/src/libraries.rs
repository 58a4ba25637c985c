//! The shared libraries of a program, from the system that it was linked on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::layer::LayerBuilder;
use crate::program::run;

/// Adds the libraries of `program` and the loader, each at the path where it is looked for.
pub(crate) fn add(mut layer: LayerBuilder, program: &Path) -> Result<LayerBuilder> {
    let output = run(Command::new("ldd").arg(program))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let libraries = paths(&text)?;
    ensure!(
        !libraries.is_empty(),
        "{} is not a dynamic executable",
        program.display()
    );
    for path in libraries {
        // The name that is asked for is a link to the file with the full version.
        let source = fs::canonicalize(&path).with_context(|| format!("cannot find {}", path.display()))?;
        layer = layer.file(&path.to_string_lossy(), 0o755, &source);
    }
    Ok(layer)
}

/// The paths in what `ldd` prints, sorted.
fn paths(ldd: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for line in ldd.lines() {
        ensure!(
            !line.contains("not found"),
            "a library is missing: {}",
            line.trim()
        );
        let path = line.split_whitespace().find(|word| word.starts_with('/'));
        paths.extend(path.map(PathBuf::from));
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_by_the_path_where_they_are_looked_for() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
            \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f29)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f29)\n";
        let found = paths(text).unwrap();
        assert_eq!(
            found,
            [
                PathBuf::from("/lib/x86_64-linux-gnu/libm.so.6"),
                PathBuf::from("/lib64/ld-linux-x86-64.so.2")
            ]
        );
        assert!(paths("\tlibx.so => not found\n").is_err());
    }
}
