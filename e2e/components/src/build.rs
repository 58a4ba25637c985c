//! One build: `go install tool` in the thin module, then names and shared files put right.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::component::{Component, Share};
use crate::go::Toolchain;

/// Builds `component` into the empty directory `target`.
pub(crate) fn build(component: Component, toolchain: &Toolchain, target: &Path) -> Result<()> {
    let module = component.module_directory();
    let output = toolchain
        .command(&module)
        .arg("install")
        .args(component.flags())
        .arg("tool")
        .env("GOBIN", target)
        .envs(component.environment().iter().copied())
        .output()
        .context("cannot run `go install`")?;
    ensure!(
        output.status.success(),
        "`go install tool` failed in {}:\n{}",
        module.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    for (from, to) in component.renames() {
        fs::rename(target.join(from), target.join(to))
            .with_context(|| format!("the build made no {from}, which is to become {to}"))?;
    }
    for share in component.shares() {
        copy_share(share, toolchain, &module, target)?;
    }
    Ok(())
}

fn copy_share(share: &Share, toolchain: &Toolchain, module: &Path, target: &Path) -> Result<()> {
    let output = toolchain
        .command(module)
        .args(["list", "-m", "-f", "{{.Dir}}", share.module])
        .output()
        .context("cannot run `go list`")?;
    let directory = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    ensure!(
        output.status.success() && directory.is_absolute(),
        "`go list` does not find module {}: {}",
        share.module,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    copy_tree(
        &directory.join(share.path),
        &target.join("share").join(share.path),
    )
}

/// Contents only: files of the module cache are read-only, and such directories could not be deleted again.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
        for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
            let entry = entry?;
            copy_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    fs::write(to, content).with_context(|| format!("cannot write {}", to.display()))
}
