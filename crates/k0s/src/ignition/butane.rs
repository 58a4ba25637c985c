//! Translates the part of Butane that is Ignition under other names. What Butane makes several things of, or reads from
//! the disk of whoever runs it, is refused by name: `trees`, `local`, `with_mount_unit`, `boot_device`, `luks` and so on.
//!
//! Source: base/v0_6/schema.go of Butane v0.24. Whether a key is in the version of Ignition's specification that comes out is
//! checked against that version's types.

use ignition_config::{Config, Warning};
use serde_json::{Map, Value, json};
use serde_yaml::Value as Yaml;

use super::data_url;
use super::spec::{self, SpecError};

/// A translated config, and the version it is of.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) version: &'static str,
    pub(super) config: Value,
}

/// Why a text is not Butane that is translated here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ButaneError {
    #[error("not valid YAML: {0}")]
    Yaml(String),
    #[error("not a mapping with variant and version")]
    NotAConfig,
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("{path} is not translated; at this place {known} are")]
    Unknown { path: String, known: String },
    #[error("{path} {problem}")]
    Invalid { path: String, problem: String },
    #[error("the result is not a config of Ignition {version}: {problem}")]
    Ignition { version: &'static str, problem: String },
}

/// What is below a key.
#[derive(Clone, Copy)]
enum Below {
    /// A value that stays what it is, or a list of such.
    Value,
    /// A file mode: octal, with or without the leading 0o.
    Mode,
    /// Keys, or a list of such.
    Keys(Keys),
}

type Keys = &'static [(&'static str, Below)];

const RESOURCE: Keys = &[
    ("compression", Below::Value),
    (
        "http_headers",
        Below::Keys(&[("name", Below::Value), ("value", Below::Value)]),
    ),
    ("inline", Below::Value),
    ("source", Below::Value),
    ("verification", Below::Keys(&[("hash", Below::Value)])),
];
const OWNER: Keys = &[("id", Below::Value), ("name", Below::Value)];
const CONFIG: Keys = &[
    (
        "ignition",
        Below::Keys(&[
            (
                "config",
                Below::Keys(&[
                    ("merge", Below::Keys(RESOURCE)),
                    ("replace", Below::Keys(RESOURCE)),
                ]),
            ),
            (
                "proxy",
                Below::Keys(&[
                    ("http_proxy", Below::Value),
                    ("https_proxy", Below::Value),
                    ("no_proxy", Below::Value),
                ]),
            ),
            (
                "security",
                Below::Keys(&[(
                    "tls",
                    Below::Keys(&[("certificate_authorities", Below::Keys(RESOURCE))]),
                )]),
            ),
            (
                "timeouts",
                Below::Keys(&[
                    ("http_response_headers", Below::Value),
                    ("http_total", Below::Value),
                ]),
            ),
        ]),
    ),
    (
        "kernel_arguments",
        Below::Keys(&[("should_exist", Below::Value), ("should_not_exist", Below::Value)]),
    ),
    (
        "passwd",
        Below::Keys(&[("groups", Below::Keys(GROUP)), ("users", Below::Keys(USER))]),
    ),
    (
        "storage",
        Below::Keys(&[
            ("directories", Below::Keys(DIRECTORY)),
            ("disks", Below::Keys(DISK)),
            ("files", Below::Keys(FILE)),
            ("filesystems", Below::Keys(FILESYSTEM)),
            ("links", Below::Keys(LINK)),
            ("raid", Below::Keys(RAID)),
        ]),
    ),
    ("systemd", Below::Keys(&[("units", Below::Keys(UNIT))])),
];
const GROUP: Keys = &[
    ("gid", Below::Value),
    ("name", Below::Value),
    ("password_hash", Below::Value),
    ("should_exist", Below::Value),
    ("system", Below::Value),
];
const USER: Keys = &[
    ("gecos", Below::Value),
    ("groups", Below::Value),
    ("home_dir", Below::Value),
    ("name", Below::Value),
    ("no_create_home", Below::Value),
    ("no_log_init", Below::Value),
    ("no_user_group", Below::Value),
    ("password_hash", Below::Value),
    ("primary_group", Below::Value),
    ("shell", Below::Value),
    ("should_exist", Below::Value),
    ("ssh_authorized_keys", Below::Value),
    ("system", Below::Value),
    ("uid", Below::Value),
];
const DIRECTORY: Keys = &[
    ("group", Below::Keys(OWNER)),
    ("mode", Below::Mode),
    ("overwrite", Below::Value),
    ("path", Below::Value),
    ("user", Below::Keys(OWNER)),
];
const FILE: Keys = &[
    ("append", Below::Keys(RESOURCE)),
    ("contents", Below::Keys(RESOURCE)),
    ("group", Below::Keys(OWNER)),
    ("mode", Below::Mode),
    ("overwrite", Below::Value),
    ("path", Below::Value),
    ("user", Below::Keys(OWNER)),
];
const LINK: Keys = &[
    ("group", Below::Keys(OWNER)),
    ("hard", Below::Value),
    ("overwrite", Below::Value),
    ("path", Below::Value),
    ("target", Below::Value),
    ("user", Below::Keys(OWNER)),
];
const DISK: Keys = &[
    ("device", Below::Value),
    (
        "partitions",
        Below::Keys(&[
            ("guid", Below::Value),
            ("label", Below::Value),
            ("number", Below::Value),
            ("resize", Below::Value),
            ("should_exist", Below::Value),
            ("size_mib", Below::Value),
            ("start_mib", Below::Value),
            ("type_guid", Below::Value),
            ("wipe_partition_entry", Below::Value),
        ]),
    ),
    ("wipe_table", Below::Value),
];
const FILESYSTEM: Keys = &[
    ("device", Below::Value),
    ("format", Below::Value),
    ("label", Below::Value),
    ("mount_options", Below::Value),
    ("options", Below::Value),
    ("path", Below::Value),
    ("uuid", Below::Value),
    ("wipe_filesystem", Below::Value),
];
const RAID: Keys = &[
    ("devices", Below::Value),
    ("level", Below::Value),
    ("name", Below::Value),
    ("options", Below::Value),
    ("spares", Below::Value),
];
const UNIT: Keys = &[
    ("contents", Below::Value),
    (
        "dropins",
        Below::Keys(&[("contents", Below::Value), ("name", Below::Value)]),
    ),
    ("enabled", Below::Value),
    ("mask", Below::Value),
    ("name", Below::Value),
];

/// Butane YAML as an Ignition config.
pub(super) fn translate(text: &str) -> Result<Translated, ButaneError> {
    let document = serde_yaml::from_str(text).map_err(|error| ButaneError::Yaml(error.to_string()))?;
    let Yaml::Mapping(mut document) = document else {
        return Err(ButaneError::NotAConfig);
    };
    let mut text = |key: &str| match document.remove(key) {
        Some(Yaml::String(text)) => Ok(text),
        _ => Err(ButaneError::NotAConfig),
    };
    let version = spec::version(&text("variant")?, &text("version")?)?;
    let mut config = keys("", &Yaml::Mapping(document), CONFIG)?;
    if let Value::Object(config) = &mut config {
        let ignition = config.entry("ignition").or_insert_with(|| json!({}));
        if let Value::Object(ignition) = ignition {
            ignition.insert("version".to_owned(), json!(version));
        }
    }
    check(&config, version)?;
    Ok(Translated { version, config })
}

/// Whether the config is one of its version, with no key that is none.
fn check(config: &Value, version: &'static str) -> Result<(), ButaneError> {
    let error = |problem: String| ButaneError::Ignition { version, problem };
    let (_, warnings) =
        Config::parse_str(&config.to_string()).map_err(|problem| error(problem.to_string()))?;
    match warnings.first() {
        None => Ok(()),
        Some(Warning::UnusedKey(key)) => Err(error(format!("it has no {key}"))),
        Some(other) => Err(error(other.to_string())),
    }
}

fn keys(path: &str, value: &Yaml, known: Keys) -> Result<Value, ButaneError> {
    match value {
        Yaml::Null => Ok(json!({})),
        Yaml::Sequence(items) => {
            let items = items.iter().enumerate();
            items
                .map(|(index, item)| keys(&format!("{path}[{index}]"), item, known))
                .collect()
        }
        Yaml::Mapping(entries) => {
            let mut translated = Map::new();
            for (key, value) in entries {
                let key = key.as_str().unwrap_or("a key that is no text");
                let path = if path.is_empty() {
                    key.to_owned()
                } else {
                    format!("{path}.{key}")
                };
                let Some((_, below)) = known.iter().find(|(name, _)| *name == key) else {
                    let known: Vec<_> = known.iter().map(|(name, _)| *name).collect();
                    return Err(ButaneError::Unknown {
                        path,
                        known: known.join(", "),
                    });
                };
                let value = match below {
                    _ if value.is_null() => continue,
                    Below::Value if key == "inline" => inline(&path, value)?,
                    Below::Value => plain(&path, value)?,
                    Below::Mode => mode(&path, value)?,
                    Below::Keys(keys_below) => keys(&path, value, keys_below)?,
                };
                if translated.insert(ignition_name(key), value).is_some() {
                    return Err(invalid(&path, "and source exclude each other"));
                }
            }
            Ok(Value::Object(translated))
        }
        _ => Err(invalid(path, "must be a mapping or a list of mappings")),
    }
}

/// `ssh_authorized_keys` as `sshAuthorizedKeys`; what is `inline` in Butane is a source in Ignition.
fn ignition_name(key: &str) -> String {
    match key {
        "inline" => return "source".to_owned(),
        "size_mib" => return "sizeMiB".to_owned(),
        "start_mib" => return "startMiB".to_owned(),
        _ => {}
    }
    let mut name = String::new();
    for part in key.split('_') {
        let mut chars = part.chars();
        match chars.next() {
            Some(first) if !name.is_empty() => {
                name.push(first.to_ascii_uppercase());
                name.push_str(chars.as_str());
            }
            _ => name.push_str(part),
        }
    }
    name
}

fn inline(path: &str, value: &Yaml) -> Result<Value, ButaneError> {
    let text = value
        .as_str()
        .ok_or_else(|| invalid(path, "must be text; put it in quotes"))?;
    Ok(json!(data_url("", text.as_bytes())))
}

fn plain(path: &str, value: &Yaml) -> Result<Value, ButaneError> {
    serde_json::to_value(value)
        .map_err(|_| invalid(path, "is neither text, number, flag nor a list of those"))
}

/// YAML's octal numbers are read as such or, written the old way, as text.
fn mode(path: &str, value: &Yaml) -> Result<Value, ButaneError> {
    let mode = match value {
        Yaml::Number(number) => number.as_i64(),
        Yaml::String(text) => i64::from_str_radix(text.trim_start_matches("0o"), 8).ok(),
        _ => None,
    };
    let mode = mode.ok_or_else(|| invalid(path, "must be an octal number such as 0644"))?;
    Ok(json!(mode))
}

fn invalid(path: &str, problem: &str) -> ButaneError {
    ButaneError::Invalid {
        path: path.to_owned(),
        problem: problem.to_owned(),
    }
}
