//! The plan as variables of a Jinja template: with feature gate `CloudInitVars` the custom user data is the whole
//! cloud-config, and refers to what is to be done by the names that the original gave it.

use std::fmt::Write;

use super::HEAD;
use crate::plan::{File, Steps};

/// What stands in for the download of a k0s that is on the host already. An empty command would be none for cloud-init.
const NOTHING: &str = "test -e /";

/// Variables, then the user's cloud-config as it is.
///
/// | variable | value |
/// |---|---|
/// | `k0smotron_k0sDownloadCommands`, `k0smotron_k0sInstallCommand`, `k0smotron_k0sStartCommand` | a shell line each |
/// | `k0smotron_commands` | list of all commands in order, the user's before and after and the sentinel among them |
/// | `k0smotron_files` | list of files with `path`, `content` and `permissions` |
///
/// The line that starts k0s creates the sentinel too: nobody else would, and infrastructure providers wait for it.
pub fn render_variables(steps: &Steps, custom: &str) -> String {
    let Steps { files, commands } = steps;
    let start = format!("{} && {}", commands.start, commands.done);
    let all: Vec<_> = commands.all().iter().map(|command| literal(command)).collect();
    let files: Vec<_> = files.iter().map(file).collect();
    let variables = [
        (
            "k0sDownloadCommands",
            literal(commands.download.as_deref().unwrap_or(NOTHING)),
        ),
        ("k0sInstallCommand", literal(&commands.install)),
        ("k0sStartCommand", literal(&start)),
        ("commands", format!("[{}]", all.join(", "))),
        ("files", format!("[{}]", files.join(", "))),
    ];
    let mut text = String::from(HEAD);
    for (name, value) in variables {
        let _ = writeln!(text, "{{% set k0smotron_{name} = {value} %}}");
    }
    text.extend([custom.trim_end(), "\n"]);
    text
}

fn file(file: &File) -> String {
    format!(
        "{{'path': {}, 'content': {}, 'permissions': {}}}",
        literal(&file.path),
        literal(&file.content),
        literal(&file.permissions)
    )
}

/// A Jinja string: nothing in it is a template, and every line is one.
fn literal(text: &str) -> String {
    let mut quoted = String::from("'");
    for c in text.chars() {
        match c {
            '\'' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // Jinja takes more than we do for the end of a line.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}
