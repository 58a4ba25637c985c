//! Writing cloud-config: a Jinja marker, `#cloud-config`, `write_files`, `runcmd`, and what the user adds to them.

use std::io::Write as _;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::{Compression, write::GzEncoder};

use super::custom::{Custom, CustomError};
use super::scalar::{double_quoted, scalar};
use super::{HEAD, RUNCMD, WRITE_FILES, has_template};
use crate::plan::{File, InstallPlan};

/// What every cloud takes as user data, in bytes: Amazon EC2 takes least.
const TAKEN_BY_ALL: usize = 16 * 1024;

/// The plan as cloud-config, with the user's own cloud-config merged into it: the items of its `write_files` and
/// `runcmd` come after ours, and its other keys stay as they are. Of two keys with one name cloud-init would take only
/// the last, and the host would never become a node.
///
/// A document that not every cloud takes is written once more with its files gzipped. Those with template expressions
/// are not: cloud-init expands text, not archives.
///
/// # Errors
/// The custom user data cannot be merged.
pub fn render(plan: &InstallPlan, custom: Option<&str>) -> Result<String, CustomError> {
    let custom = Custom::read(custom.unwrap_or_default())?;
    let text = document(plan, &custom, false);
    Ok(if text.len() > TAKEN_BY_ALL {
        document(plan, &custom, true)
    } else {
        text
    })
}

fn document(plan: &InstallPlan, custom: &Custom, gzip: bool) -> String {
    let files = plan.files.iter().map(|entry| file(entry, gzip));
    let commands = plan.commands.iter().map(|command| scalar(command, 4));
    let mut text = String::from(HEAD);
    list(&mut text, WRITE_FILES, files.chain(custom.files.iter().cloned()));
    list(&mut text, RUNCMD, commands.chain(custom.commands.iter().cloned()));
    if !custom.rest.is_empty() {
        text.extend(["\n#cloud-config\n", &custom.rest, "\n"]);
    }
    text
}

fn list(text: &mut String, key: &str, items: impl Iterator<Item = String>) {
    let begin = text.len();
    for item in items {
        text.extend(["  - ", &item, "\n"]);
    }
    let head = if text.len() == begin { ": []\n" } else { ":\n" };
    text.insert_str(begin, &format!("{key}{head}"));
}

fn file(file: &File, gzip: bool) -> String {
    let File {
        path,
        content,
        permissions,
        owner,
        append,
    } = file;
    let mut lines = vec![format!("path: {}", scalar(path, 6))];
    match gzip.then(|| gzipped(content)).flatten() {
        Some(gzipped) => lines.extend([format!("content: {gzipped}"), "encoding: gz+b64".to_owned()]),
        None => lines.push(format!("content: {}", scalar(content, 6))),
    }
    // Always quoted: as a number it would be read in another base, or in none.
    lines.push(format!("permissions: {}", double_quoted(permissions)));
    lines.extend(owner.as_ref().map(|owner| format!("owner: {}", scalar(owner, 6))));
    lines.extend(append.then(|| "append: true".to_owned()));
    lines.join("\n    ")
}

/// The content as cloud-init's `gz+b64`, if it may be and that is shorter.
fn gzipped(content: &str) -> Option<String> {
    if has_template(content) {
        return None;
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(content.as_bytes()).ok()?;
    let gzipped = BASE64_STANDARD.encode(gzip.finish().ok()?);
    (gzipped.len() < content.len()).then_some(gzipped)
}
