//! PowerShell: quoting what we put into scripts, and bootstrap data that is a script itself.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::plan::{File, InstallPlan, PermissionsError};
use crate::shell::Word;

/// A string in which PowerShell expands nothing. It takes the typographic quotes for quotes too.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("'");
    for c in text.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            quoted.push(c);
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted
}

/// An argument of a program. Windows PowerShell leaves it to us to escape double quotes.
pub(crate) fn argument(word: &Word) -> String {
    match word.expanding(|text| {
        let mut escaped = String::new();
        for c in text.chars() {
            match c {
                '"' => escaped.push_str("\\`\""),
                '\u{201c}'..='\u{201e}' | '`' | '$' => escaped.extend(['`', c]),
                c => escaped.push(c),
            }
        }
        escaped
    }) {
        Some(expanding) => format!("\"{expanding}\""),
        None => quote(&word.text().replace('"', "\\\"")),
    }
}

/// The plan as a script: files, commands, the user's own script.
///
/// # Errors
/// A file whose permissions are none.
pub fn render(plan: &InstallPlan, custom: Option<&str>) -> Result<String, PermissionsError> {
    let mut script = String::new();
    for entry in &plan.files {
        script.push_str(&file(entry)?);
    }
    for command in &plan.commands {
        script.extend([command, "\n"]);
    }
    if let Some(custom) = custom {
        script.extend([custom.trim_end(), "\n"]);
    }
    Ok(script.replace("\r\n", "\n"))
}

/// The script as user data of Amazon EC2.
///
/// # Errors
/// As [`render`].
pub fn render_xml(plan: &InstallPlan, custom: Option<&str>) -> Result<String, PermissionsError> {
    Ok(format!("<powershell>\n{}</powershell>\n", render(plan, custom)?))
}

/// Content is written byte for byte. A file that is its owner's only becomes one of the system and its administrators.
fn file(file: &File) -> Result<String, PermissionsError> {
    let path = quote(&file.path);
    let content = BASE64_STANDARD.encode(&file.content);
    let mut script = format!(
        "[System.IO.Directory]::CreateDirectory([System.IO.Path]::GetDirectoryName({path})) | Out-Null\n\
         [System.IO.File]::WriteAllBytes({path}, [System.Convert]::FromBase64String('{content}'))\n"
    );
    if file.mode()? & 0o077 == 0 {
        let _ = writeln!(
            script,
            "icacls.exe {path} /inheritance:r /grant:r '*S-1-5-18:F' '*S-1-5-32-544:F' | Out-Null"
        );
    }
    Ok(script)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shell;

    #[test]
    fn quotes_arguments_for_programs() {
        for (written, quoted) in [
            ("--debug", "'--debug'"),
            ("'a\"b'", "'a\\\"b'"),
            ("--node-ip=$env:IP", "\"--node-ip=$env:IP\""),
            ("\"a `b` $(hostname) c'\"", "\"a `b` $(hostname) c'\""),
        ] {
            let words: Vec<_> = shell::split(written).iter().map(argument).collect();
            assert_eq!(words, [quoted], "{written}");
        }
    }

    #[test]
    fn files_are_written_byte_for_byte() {
        let plan = InstallPlan {
            files: vec![
                File::new("C:\\it's\\a", " é\r\n", "0644"),
                File::new("/etc/k0s.token", "token", "0600"),
            ],
            commands: vec!["& run".to_owned()],
        };
        insta::assert_snapshot!(render_xml(&plan, Some("Write-Host done\r\n")).unwrap());
    }

    /// What PowerShell reads in a single-quoted string: of two quotes in a row one, and at a lone one the string ends.
    fn read(quoted: &str) -> Option<String> {
        let is_quote = |c: char| matches!(c, '\'' | '‘' | '’' | '‚' | '‛');
        let mut chars = quoted.strip_prefix('\'')?.chars().peekable();
        let mut text = String::new();
        while let Some(c) = chars.next() {
            if is_quote(c) && chars.next_if(|next| is_quote(*next)).is_none() {
                return chars.next().is_none().then_some(text);
            }
            text.push(c);
        }
        None
    }

    proptest! {
        #[test]
        fn a_quoted_text_is_one_string(text in "(['‘’‚‛\"$`;(){}|&\n]|.){0,20}") {
            prop_assert_eq!(read(&quote(&text)), Some(text));
        }
    }
}
