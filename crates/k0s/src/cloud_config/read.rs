//! Reading cloud-config, as strictly as a host's setup deserves: what would be done wrongly is an error that names the
//! item, not a guess.

use std::io::Read;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::read::MultiGzDecoder;
use serde_yaml::{Mapping, Value};

use super::{RUNCMD, WRITE_FILES};
use crate::plan::{File, InstallPlan};
use crate::shell::quote;

/// Largest document that is read, in bytes. A Secret holds at most 1 MiB.
pub const MAX_DOCUMENT: usize = 2 * 1024 * 1024;
/// Largest file after decoding, in bytes.
pub const MAX_FILE: u64 = 8 * 1024 * 1024;

/// YAML's own base64, `!!binary`, as [`mark_binary`] hands it on.
pub(super) const BINARY: &str = "!binary";

/// A cloud-config as far as it is an install plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    pub plan: InstallPlan,
    /// What the document asks for beyond that, such as `packages` or `write_files[2].foo`, and what nobody here does.
    pub ignored: Vec<String>,
}

/// Why a text is not a cloud-config that can be carried out. Quotes no content: it may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("bootstrap data is larger than {MAX_DOCUMENT} bytes; fetch large files in a command instead")]
    TooLarge,
    #[error("bootstrap data is {0}, not cloud-config; set provisioner.type to cloud-config")]
    OtherFormat(&'static str),
    #[error("cloud-config is not valid YAML: {0}")]
    Yaml(String),
    #[error("cloud-config is not a mapping of keys such as write_files and runcmd")]
    NotAMapping,
    #[error("{item}: {problem}")]
    Item { item: String, problem: String },
}

/// Reads `write_files` and `runcmd` as cloud-init does. Template expressions are left as they are.
pub fn parse(text: &str) -> Result<Parsed, ParseError> {
    if text.len() > MAX_DOCUMENT {
        return Err(ParseError::TooLarge);
    }
    let mut document = document(text)?;
    let mut ignored = Vec::new();
    let plan = take_plan(&mut document, &mut ignored)?;
    ignored.extend(document.keys().map(key_text));
    Ok(Parsed { plan, ignored })
}

/// The document's keys.
pub(super) fn document(text: &str) -> Result<Mapping, ParseError> {
    let mut document = mapping(text)?;
    mark_binary(text, &mut document)?;
    Ok(document)
}

fn mapping(text: &str) -> Result<Mapping, ParseError> {
    let text = text.trim_start_matches('\u{feff}');
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with("##"));
    match first.unwrap_or_default() {
        line if line.starts_with("#!") => return Err(ParseError::OtherFormat("a script")),
        line if line.starts_with("Content-Type:") || line.starts_with("MIME-Version:") => {
            return Err(ParseError::OtherFormat("a MIME archive"));
        }
        line if line.starts_with("#include") => return Err(ParseError::OtherFormat("an include file")),
        line if line.starts_with("<powershell>") || line.starts_with("#ps1") => {
            return Err(ParseError::OtherFormat("a PowerShell script"));
        }
        _ => {}
    }
    match serde_yaml::from_str(text).map_err(|error| ParseError::Yaml(error.to_string()))? {
        Value::Mapping(mapping) if mapping.contains_key("ignition") => {
            Err(ParseError::OtherFormat("an Ignition config"))
        }
        Value::Mapping(mapping) => Ok(mapping),
        Value::Null => Ok(Mapping::new()),
        _ => Err(ParseError::NotAMapping),
    }
}

/// Restores `!!binary` on contents. The YAML reader drops tags of YAML's own schema but keeps private ones, so the
/// document is read again with a private one in its place, which is then taken over only where it really is a tag.
fn mark_binary(text: &str, document: &mut Mapping) -> Result<(), ParseError> {
    if !text.contains("!!binary") {
        return Ok(());
    }
    let marked = mapping(&text.replace("!!binary", BINARY))?;
    let files = document
        .get_mut(WRITE_FILES)
        .and_then(Value::as_sequence_mut)
        .into_iter()
        .flatten();
    let marked = marked
        .get(WRITE_FILES)
        .and_then(Value::as_sequence)
        .into_iter()
        .flatten();
    for (file, marked) in files.zip(marked) {
        if let (Some(content), Some(Value::Tagged(tagged))) = (file.get_mut("content"), marked.get("content"))
        {
            *content = Value::Tagged(tagged.clone());
        }
    }
    Ok(())
}

fn take_plan(document: &mut Mapping, ignored: &mut Vec<String>) -> Result<InstallPlan, ParseError> {
    let files = items(document, WRITE_FILES)?.into_iter().enumerate();
    let commands = items(document, RUNCMD)?.into_iter().enumerate();
    Ok(InstallPlan {
        files: files
            .map(|(index, value)| file(index, value, ignored))
            .collect::<Result<_, _>>()?,
        commands: commands
            .map(|(index, value)| command(index, value))
            .collect::<Result<_, _>>()?,
    })
}

pub(super) fn items(document: &mut Mapping, key: &str) -> Result<Vec<Value>, ParseError> {
    match document.shift_remove(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Sequence(items)) => Ok(items),
        Some(_) => Err(item(key, "must be a list")),
    }
}

fn file(index: usize, value: Value, ignored: &mut Vec<String>) -> Result<File, ParseError> {
    let name = format!("{WRITE_FILES}[{index}]");
    let Value::Mapping(mut entry) = value else {
        return Err(item(&name, "must be a mapping with path and content"));
    };
    let path = match entry.remove("path") {
        Some(Value::String(path)) if path.starts_with('/') && !path.contains('\0') => path,
        _ => return Err(item(&format!("{name}.path"), "must be an absolute path")),
    };
    if entry.contains_key("source") {
        return Err(item(
            &format!("{name}.source"),
            "is not supported; write the content, or fetch it in a command",
        ));
    }
    let encoding = text(&name, "encoding", entry.remove("encoding"))?;
    let content = content(&name, entry.remove("content"), &encoding)?;
    let permissions = permissions(&name, entry.remove("permissions"))?;
    let owner = Some(text(&name, "owner", entry.remove("owner"))?).filter(|owner| !owner.is_empty());
    let append = flag(&name, "append", entry.remove("append"))?;
    // Deferred files are written after packages and users, of which there are none here.
    flag(&name, "defer", entry.remove("defer"))?;
    ignored.extend(entry.keys().map(|key| format!("{name}.{}", key_text(key))));
    Ok(File {
        path,
        content,
        permissions,
        owner,
        append,
    })
}

fn content(name: &str, value: Option<Value>, encoding: &str) -> Result<String, ParseError> {
    let name = format!("{name}.content");
    let raw = match value {
        // `!!binary` is YAML's own base64.
        Some(Value::Tagged(tagged)) if tagged.tag == BINARY || tagged.tag == "tag:yaml.org,2002:binary" => {
            base64(&name, tagged.value.as_str().unwrap_or_default())?
        }
        value => text(&name, "", value)?.into_bytes(),
    };
    let (base64_coded, gzipped) = match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "text/plain" => (false, false),
        "b64" | "base64" => (true, false),
        "gz" | "gzip" => (false, true),
        "gz+b64" | "gzip+b64" | "gz+base64" | "gzip+base64" => (true, true),
        _ => return Err(item(&name, "has an unknown encoding; use b64, gzip or gz+b64")),
    };
    let raw = if base64_coded {
        base64(&name, &String::from_utf8_lossy(&raw))?
    } else {
        raw
    };
    let raw = if gzipped { gunzip(&name, &raw)? } else { raw };
    String::from_utf8(raw).map_err(|_| {
        item(
            &name,
            "is not UTF-8 text; put binary files in place with a command",
        )
    })
}

fn base64(name: &str, text: &str) -> Result<Vec<u8>, ParseError> {
    let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    BASE64_STANDARD
        .decode(compact)
        .map_err(|_| item(name, "is not valid base64"))
}

fn gunzip(name: &str, raw: &[u8]) -> Result<Vec<u8>, ParseError> {
    let mut content = Vec::new();
    let read = MultiGzDecoder::new(raw)
        .take(MAX_FILE + 1)
        .read_to_end(&mut content);
    read.map_err(|_| item(name, "is not valid gzip"))?;
    let fits = u64::try_from(content.len()).is_ok_and(|length| length <= MAX_FILE);
    if fits {
        Ok(content)
    } else {
        Err(item(
            name,
            &format!("is larger than {MAX_FILE} bytes when unpacked"),
        ))
    }
}

/// Text is octal digits, a number is the mode itself: YAML has turned octal notation into it already.
fn permissions(name: &str, value: Option<Value>) -> Result<String, ParseError> {
    let permissions = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) => format!("{:04o}", number.as_u64().unwrap_or(u64::MAX)),
        Some(_) => {
            return Err(item(
                &format!("{name}.permissions"),
                "must be an octal text such as \"0600\"",
            ));
        }
    };
    let mode = File::new("", "", permissions.as_str()).mode();
    mode.map_err(|error| item(&format!("{name}.permissions"), &error.to_string()))?;
    Ok(permissions)
}

pub(super) fn command(index: usize, value: Value) -> Result<String, ParseError> {
    let name = format!("{RUNCMD}[{index}]");
    let command = match value {
        Value::String(command) => command,
        Value::Sequence(words) => {
            let words = words.into_iter().map(|word| text(&name, "", Some(word)));
            let words = words.collect::<Result<Vec<_>, _>>()?;
            let quoted: Vec<_> = words.iter().map(|word| quote(word)).collect();
            quoted.join(" ")
        }
        _ => {
            return Err(item(
                &name,
                "must be a text or a list of words; quote it if it contains a colon",
            ));
        }
    };
    if command.contains('\0') {
        return Err(item(
            &name,
            "contains a NUL character, which no command line can carry; remove it",
        ));
    }
    Ok(command)
}

/// A scalar as text; empty when there is none.
fn text(name: &str, key: &str, value: Option<Value>) -> Result<String, ParseError> {
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(flag)) => Ok(flag.to_string()),
        Some(_) if key.is_empty() => Err(item(name, "must be a text")),
        Some(_) => Err(item(&format!("{name}.{key}"), "must be a text")),
    }
}

fn flag(name: &str, key: &str, value: Option<Value>) -> Result<bool, ParseError> {
    match value {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(Value::String(text)) if matches!(text.as_str(), "true" | "yes" | "on" | "1") => Ok(true),
        Some(Value::String(text)) if matches!(text.as_str(), "false" | "no" | "off" | "0" | "") => Ok(false),
        Some(_) => Err(item(&format!("{name}.{key}"), "must be true or false")),
    }
}

pub(super) fn key_text(key: &Value) -> String {
    key.as_str()
        .map_or_else(|| "a key that is no text".to_owned(), str::to_owned)
}

pub(super) fn item(name: &str, problem: &str) -> ParseError {
    ParseError::Item {
        item: name.to_owned(),
        problem: problem.to_owned(),
    }
}
